"""The doctor: what a client's last session shows, and what to change, in plain words.

Pure: a record and the configuration go in, advice comes out. Every refusal that the relay can give
has its row in one of the tables (connection, login, mail); a test holds them complete.
"""

from relay.config.model import Config
from relay.devices.doctor import connection, login, mail, tls
from relay.devices.doctor.case import Advice, Case, Rule, apply_rule
from relay.devices.recorder import DeviceFault, Record
from relay.reply import Reply

__all__ = ["BY_REPLY", "BY_TROUBLE", "Advice", "diagnose"]

BY_TROUBLE: dict[DeviceFault, Rule] = {**tls.BY_TROUBLE, **connection.BY_TROUBLE, **login.BY_TROUBLE}
BY_REPLY: dict[Reply, Rule] = {**tls.BY_REPLY, **connection.BY_REPLY, **login.BY_REPLY, **mail.BY_REPLY}


def diagnose(record: Record, config: Config) -> list[Advice]:
    """What is wrong with this session, the cause before its consequences; empty if nothing is."""
    case = Case(record, config)
    found = [apply_rule(BY_TROUBLE[trouble], case) for trouble in BY_TROUBLE if trouble in record.troubles]
    for answer in record.replies:
        rule = BY_REPLY.get(answer, mail.explain_refusal)
        found.append(apply_rule(rule, case.about(answer)))
    advice: list[Advice] = []
    for one in found:
        if one is not None and one.problem not in {a.problem for a in advice}:
            advice.append(one)
    return advice
