"""What was found out about a database server. Needs no driver, so that whoever tells it needs none."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found out about a server and its database."""

    version: int  # as PostgreSQL counts: 150008 is 15.8
    release: str
    encoding: str
    is_replica: bool
    fsync: bool
    full_page_writes: bool
    synchronous_commit: str
    standbys: str  # synchronous_standby_names
    ends_idle_transactions: bool
    tls: str  # the version; "" without TLS
    clock: float  # seconds by which it is ahead of this machine's
    trouble: str = ""  # why the tables cannot be used, with the remedy
    missing_rights: tuple[str, ...] = ()  # tables
    may_alter: bool = False  # the relay's role owns the tables
    counts: tuple[tuple[str, int], ...] = ()  # messages in each state
    nodes: tuple[tuple[str, str, bool], ...] = ()  # those that live: name, release, whether it sends
