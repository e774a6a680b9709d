"""The database's part of `relay check`: what a server promises about mail, in plain words."""

from collections.abc import Iterator

from relay.config.model import Config
from relay.operator.findings import Finding, fine, problem, warning
from relay.postgres.facts import Facts
from relay.spool import SpoolError
from relay.stores import examine_spool

_OLDEST = 150000  # PostgreSQL 15
_MOST_SKEW = 5.0  # seconds
_NO_REPLICA = (
    "one server keeps the mail: what was acknowledged is as safe as its disk. Without synchronous "
    "replication, mail acknowledged in the last moments may be lost at a failover, and what was sent then "
    "may be sent again without a record"
)
_REPLICA = (
    "acknowledged mail survives the loss of the primary only if synchronous replication is strict "
    "(Patroni: synchronous_mode and synchronous_mode_strict, with three data nodes). Otherwise mail "
    "acknowledged in the last moments may be lost, and what was sent then may be sent again without a record"
)
_WAITS_FOR_REPLICA = ("on", "remote_apply")


async def check_database(config: Config) -> tuple[list[Finding], bool]:
    """Look at the server that `spool.url` names: what was found, and whether it answers."""
    try:
        facts = await examine_spool(config)
    except SpoolError as error:
        remedy = "see spool.url and password_file, the network, and the server's pg_hba.conf"
        return [problem("database", str(error), remedy)], False
    return [*_server(facts), *_durability(facts), _tables(facts), *_nodes(facts)], True


def _nodes(facts: Facts) -> Iterator[Finding]:
    if not facts.nodes:
        return
    told = ", ".join(f"{name}{' (sends)' if sends else ''}" for name, _, sends in facts.nodes)
    releases = sorted({release for _, release, _ in facts.nodes})
    if len(releases) > 1:
        text = f"{told}: of different releases ({', '.join(releases)})"
        yield warning("nodes", text, "bring all of them to the newest")
    else:
        yield fine("nodes", told)


def _server(facts: Facts) -> Iterator[Finding]:
    tls = facts.tls or "without TLS"
    text = f"PostgreSQL {facts.release}, {facts.encoding}, {tls}"
    if facts.version < _OLDEST:
        yield problem("database", text, "PostgreSQL 15 or later is needed")
    elif facts.encoding != "UTF8":
        remedy = "make the database anew: createdb -E UTF8 -T template0, then relay spool migrate"
        yield problem("database", text, remedy)
    elif facts.is_replica:
        remedy = "name the primary, or all servers and target_session_attrs=read-write in spool.url"
        yield problem("database", f"{text}: this server is a replica", remedy)
    else:
        yield fine("database", text)
    if abs(facts.clock) > _MOST_SKEW:
        skew = f"its clock differs from this machine's by {facts.clock:+.0f} s"
        yield warning("database", skew, "set both by NTP")
    if not facts.ends_idle_transactions:
        yield warning(
            "database",
            "a node that stops in the middle of a transaction would hold up the others",
            "let the database's owner run `relay spool migrate`, which sets time limits for that",
        )


def _durability(facts: Facts) -> Iterator[Finding]:
    off = [name for name in ("fsync", "full_page_writes") if not getattr(facts, name)]
    if off:
        text = f"{' and '.join(off)} off: a power cut may lose or damage acknowledged mail"
        yield problem("durability", text, f"set {' and '.join(off)} to on")
    elif facts.synchronous_commit == "off":
        text = "synchronous_commit is off: a power cut may lose mail acknowledged in the last moments"
        yield problem("durability", text, "set synchronous_commit to on")
    elif not facts.standbys:
        yield fine("durability", _NO_REPLICA)
    elif facts.synchronous_commit not in _WAITS_FOR_REPLICA:
        text = (
            f"synchronous_commit is {facts.synchronous_commit}: a commit does not wait until a replica has it"
        )
        yield warning("durability", text, "set synchronous_commit to on")
    else:
        yield fine("durability", _REPLICA)


def _tables(facts: Facts) -> Finding:
    if facts.trouble:
        return problem("spool", facts.trouble)
    if facts.missing_rights:
        text = f"the relay's role may not read and write {', '.join(facts.missing_rights)}"
        return problem("spool", text, "let the owner run `relay spool migrate`")
    counts = ", ".join(f"{number} {state}" for state, number in facts.counts) or "empty"
    if facts.may_alter:
        remedy = "better a role of its own with plain rights: relay help cluster"
        return warning("spool", f"{counts}; the relay's role owns the tables", remedy)
    return fine("spool", counts)
