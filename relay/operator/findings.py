"""What a check finds: how bad it is, and what to do."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    level: Level
    text: str
    remedy: str = ""
    account: str = ""  # whose mail it is about; "": everybody's
    mail_goes: bool = False  # whether mail goes on all the same


def fine(subject: str, text: str) -> Finding:
    """It is as it should be."""
    return Finding(subject, Level.OK, text)


def warning(subject: str, text: str, remedy: str = "", account: str = "") -> Finding:
    """Mail goes, and a person should look."""
    return Finding(subject, Level.WARNING, text, remedy, account)


def problem(subject: str, text: str, remedy: str = "", *, mail_goes: bool = False) -> Finding:
    """A person is needed."""
    return Finding(subject, Level.PROBLEM, text, remedy, mail_goes=mail_goes)
