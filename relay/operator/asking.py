"""Whoever asks the relay for something does so here: control socket, console, a command beside no relay."""

from collections.abc import Mapping
from typing import Any

import structlog

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
        return await verb(**arguments)
    token = ASKER.set(asker)
    log.info("asked", verb=name, **asker)
    refused = "it broke off"
    try:
        answer = await verb(**arguments)
        refused = ""
    except (Refused, SpoolError, ValueError, TypeError) as error:
        refused = str(error)
        raise
    finally:
        ASKER.reset(token)
        if verbs.journal is not None:
            verbs.journal.note(asker, name, arguments, refused)
    return answer
