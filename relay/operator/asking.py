"""Whoever asks the relay for something does so here: control socket, console, a command beside no relay."""

from collections.abc import Awaitable, Mapping
from typing import Any

import structlog

from relay.operator.answering import while_it_answers
from relay.operator.calling import Answer, Refused
from relay.operator.verbs import ASKER, Verbs
from relay.spool import SpoolError

log = structlog.get_logger("control")
# Verbs that change nothing: who asked them is not recorded.
LOOKING = frozenset(
    {
        "queue_list",
        "queue_show",
        "trace",
        "doctor",
        "doctor_live",
        "learning",
        "devices",
        "state",
        "troubles",
        "audit",
    }
)
# These wait as long as they like: for a client's octets and a verdict, for Works, for a device. Or they know
# without the spool what they are asked.
_PATIENT = frozenset(
    {
        "send",
        "login_begin",
        "login",
        "confirm",
        "logout",
        "doctor",
        "doctor_live",
        "state",
        "troubles",
        "audit",
    }
)


async def ask(
    verbs: Verbs, asker: Mapping[str, int | str], name: str, arguments: Mapping[str, Any]
) -> Answer:
    """Do a verb in somebody's name; what changes something is recorded with the name.

    Args:
        verbs: that there are.
        asker: who asks, as the record has it.
        name: the verb's.
        arguments: the verb's.

    Raises:
        Refused, SpoolError, ValueError, TypeError: it is not done; the text says why.
    """
    verb = None if name.startswith("_") else verbs.find(name)
    if verb is None:
        raise Refused(f"the running relay does not know {name!r}; is it of another version?")
    if name in LOOKING:
        return await _wait_for(verbs, name, verb(**arguments))
    if verbs.node:
        asker = {**asker, "node": verbs.node}
    token = ASKER.set(asker)
    log.info("asked", verb=name, **asker)
    refused = "it broke off"
    try:
        answer = await _wait_for(verbs, name, verb(**arguments))
        refused = ""
    except (Refused, SpoolError, ValueError, TypeError) as error:
        refused = str(error)
        raise
    finally:
        ASKER.reset(token)
        if verbs.journal is not None:
            verbs.journal.note(asker, name, arguments, refused)
    return answer


async def _wait_for(verbs: Verbs, name: str, work: Awaitable[Answer]) -> Answer:
    return await (work if name in _PATIENT else while_it_answers(verbs.spool, work))
