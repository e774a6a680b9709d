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
