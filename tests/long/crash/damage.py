"""Every page of a spool spoiled in turn, its file and its log cut off anywhere: what a start makes of it.

    python -m tests.long.crash.damage --messages 800

A spool is filled (small mail that waits, longer mail, mail that was sent, tried, held or deleted) and
stopped; a second one is copied while it runs, as a SIGKILL leaves it. Each case spoils a copy, and the whole
relay is started on it. It must start, accept, and send nothing twice; nothing may be gone but what stood on
the spoiled octets, and what is gone or held must be named in the log.
"""

import argparse
import asyncio
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import structlog

from relay.config.load import build
from relay.envelope import Envelope, Submission
from relay.outcome import Action, Blame, Outcome
from relay.service import Service
from relay.spool import GONE, Settlement, SpoolError, State
from relay.spool.sqlite.engine import SqliteSpool
from tests.long.crash.harness import chance_of, finish, say
from tests.support.relay import tree

TAKEN = Outcome(Action.RELAYED, "2.0.0", Blame.REMOTE, "taken", http_status=202)
DOWN = Outcome(Action.DELAYED, "4.4.1", Blame.REMOTE, "down")
WAITING = {State.QUEUED, State.SENDING, State.DELAYED}
OVER = set(GONE)
MOST = 100_000
SIZE = 4096


@dataclass
class Case:
    name: str
    kind: str
    source: Path
    spoil: object  # of a folder; gives the octets that it took


@dataclass
class Figures:
    cases: Counter = field(default_factory=Counter)
    not_started: list = field(default_factory=list)
    wrong: list = field(default_factory=list)
    gone: dict = field(default_factory=dict)
    held: dict = field(default_factory=dict)
    slowest: float = 0.0


def submission(spool, number, size=0, more=()):
    writer = spool.writer()
    writer.write(b"Subject: %d\r\n\r\n" % number + b"content " * (size // 8))
    to = (f"r{number}@example.com", *more)
    envelope = Envelope("s@example.com", to, datetime.now(UTC), client_address=f"192.0.2.{number % 9}")
    return Submission(envelope, writer.finish())


async def fill(folder, messages):
    """What a spool of some age holds; the deleted mail leaves pages that are free and full of old rows."""
    spool = SqliteSpool(folder)
    await spool.open()
    await put(spool, messages // 4, 0)
    await send(spool, messages // 4)
    await spool.purge(time.time() + 1, 0)
    await put(spool, messages // 8, messages // 4)
    await send(spool, messages // 8)
    await put(spool, messages, messages)
    for number in range(20):
        long = tuple(f"recipient-{number}-{one}@example.com" for one in range(200))
        await spool.put(submission(spool, number, 6000 * number, long if number % 4 == 0 else ()), "scanner")
    for _ in range(30):
        claim = await spool.claim(["scanner"], time.time())
        await spool.start(claim, 0, claim.entry.envelope.forward_paths)
        await spool.record(claim, 0, DOWN)
        await spool.settle(claim, Settlement(State.DELAYED, DOWN, next_attempt=time.time() + 1e6))
    for entry in await spool.list([State.QUEUED], 10):
        await spool.hold(entry.queue_id)
    return spool


async def put(spool, count, first):
    await asyncio.gather(*[spool.put(submission(spool, first + one), "scanner") for one in range(count)])


async def send(spool, count):
    for _ in range(count):
        claim = await spool.claim(["scanner"], time.time())
        await spool.start(claim, 0, claim.entry.envelope.forward_paths)
        await spool.record(claim, 0, TAKEN)
        await spool.settle(claim, Settlement(State.RELAYED, TAKEN))


async def make(folder, messages):
    """A spool that was stopped, and one that was killed while much stood in its log."""
    spool = await fill(folder / "stopped", messages)
    await spool.close()
    spool = await fill(folder / "running", 20 + messages // 8)
    await spool.touch()
    shutil.copytree(folder / "running", folder / "killed")
    await spool.close()
    return folder / "stopped", folder / "killed"


def read_truth(source, folder):
    """The state of every message, as SQLite reads it."""
    shutil.copytree(source, folder)
    with sqlite3.connect(folder / "spool.db") as database:
        truth = {one: State(state) for one, state in database.execute("SELECT queue_id, state FROM message")}
    database.close()
    shutil.rmtree(folder)
    return truth


def read_kinds(path):
    """What each page is: of which tree and in which place."""
    with sqlite3.connect(path) as database:
        (count,) = database.execute("PRAGMA page_count").fetchone()
        kinds = dict.fromkeys(range(1, count + 1), "free")
        try:
            found = database.execute("SELECT pageno, name, pagetype FROM dbstat").fetchall()
        except sqlite3.OperationalError:
            found = [(number, "page", "unknown") for number in kinds]
        kinds |= {number: f"{name} {kind}" for number, name, kind in found}
    database.close()
    return kinds


def overwrite(path, at, octets):
    with path.open("r+b") as file:
        file.seek(at)
        before = file.read(len(octets))
        file.seek(at)
        file.write(octets)
    return before


def cut(path, length):
    octets = path.read_bytes()
    os.truncate(path, length)
    return octets[length:]


def page_cases(source, chance, *, sample):
    kinds, seen = read_kinds(source / "spool.db"), Counter()
    numbers = list(kinds)
    if sample:
        chance.shuffle(numbers)
        numbers = [one for one in numbers if not seen.update([kinds[one]]) and seen[kinds[one]] <= sample]
    for number in sorted(numbers):
        octets = chance.randbytes(SIZE) if number % 5 else b"\0" * SIZE

        def spoil(folder, at=(number - 1) * SIZE, octets=octets):
            return overwrite(folder / "spool.db", at, octets)

        yield Case(f"page {number} ({kinds[number]})", kinds[number], source, spoil)


def cut_cases(source, chance, *, sample):
    size = (source / "spool.db").stat().st_size
    borders = [page * SIZE + off for page in range(1, size // SIZE) for off in (-1, 0, 1)]
    lengths = [0, 1, 15, 16, 50, 99, 100, 101, 511, 512, 1024, SIZE - 1, SIZE, SIZE + 1, size // 2, size - 1]
    lengths += chance.sample(borders, min(len(borders), 60))
    if sample:
        lengths = [0, 1, 16, SIZE, size // 2 // SIZE * SIZE - 1]
    for length in lengths:

        def spoil(folder, length=length):
            return cut(folder / "spool.db", length)

        yield Case(f"cut to {length} of {size}", "cut", source, spoil)


def log_cases(source, chance, *, sample):
    size, frame = (source / "spool.db-wal").stat().st_size, SIZE + 24
    frames = (size - 32) // frame
    some = chance.sample(range(frames), min(frames, sample * 3 if sample else 150))
    for number in some:
        head, octets = number % 2 * 24, chance.randbytes(frame)

        def spoil(folder, at=32 + number * frame + head, octets=octets[head:]):
            return overwrite(folder / "spool.db-wal", at, octets)

        yield Case(f"frame {number} of {frames}, from {head}", "log frame", source, spoil)
    yield Case(
        "log header", "log header", source, lambda folder: overwrite(folder / "spool.db-wal", 0, b"x" * 32)
    )
    first = chance.randbytes(SIZE)
    yield Case("log begin", "log header", source, lambda folder: overwrite(folder / "spool.db-wal", 0, first))
    lengths = [0, 1, 31, 32, 33, size // 2, size - 1, size - frame]
    for length in lengths[:: 3 if sample else 1]:

        def shorten(folder, length=length):
            return cut(folder / "spool.db-wal", length)

        yield Case(f"log cut to {length} of {size}", "log cut", source, shorten)


async def try_case(case, truth, folder, figures):
    state = folder / "state"
    shutil.copytree(case.source, state / "spool")
    spoiled = case.spoil(state / "spool")
    hit = {one for one in truth if one.encode() in spoiled}
    figures.cases[case.kind] += 1
    began = time.monotonic()
    with structlog.testing.capture_logs() as lines:
        service = Service(build(tree("http://127.0.0.1:1", state), environ={}))
        try:
            await service.start()
            found = await look(service.spool)
        except (SpoolError, OSError, sqlite3.Error) as error:
            figures.not_started.append(f"{case.name}: {error}")
            return
        finally:
            await service.stop()
            shutil.rmtree(state)
    figures.slowest = max(figures.slowest, time.monotonic() - began)
    judge(case, truth, hit, found, lines, figures)


async def look(spool):
    """Every message's state, once it is seen whether its content is there; what is not is set aside."""
    await spool.put(submission(spool, 1), "scanner")
    await spool.backlog(MOST)
    for entry in await spool.list([*WAITING, State.HELD], MOST):
        try:
            await spool.content(entry.queue_id)
        except SpoolError as error:
            # What is in its place and is not its content is found when it is claimed.
            if (await spool.show(entry.queue_id)).state in WAITING and "hash" not in str(error):
                raise
        await spool.attempts(entry.queue_id)
        await spool.events(entry.queue_id)
    return {entry.queue_id: entry for entry in await spool.list(list(State), MOST)}


def judge(case, truth, hit, found, lines, figures):
    named = {"lost": set(), "held": set()}
    complete = True
    for line in (one for one in lines if one["event"] == "the database was salvaged"):
        complete &= line["complete"]
        for key, ids in named.items():
            ids.update(line[key])
    gone = {one for one, state in truth.items() if state not in OVER and one not in found}
    held = {one for one in truth.keys() & found if found[one].reason.startswith("damaged")}
    again = {one for one, state in truth.items() if state not in WAITING and one in found} & {
        one for one in found if found[one].state in WAITING
    }
    named["held"] |= {line["queue_id"] for line in lines if line["event"].startswith("message set aside")}
    # What was deleted long ago still stands on pages that are free. Later ids are of what came since.
    risen = {
        one for one, entry in found.items() if entry.state in WAITING and one <= max(truth)
    } - truth.keys()
    beyond = gone - hit
    if case.kind.endswith("overflow") and len(beyond) == 1:
        beyond = set()  # the rest of its row stood there
    for what, ids in (
        ("gone, and did not stand there", beyond),
        ("gone, and neither named nor said to be unknown", gone - named["lost"] if complete else set()),
        ("would be sent, and was deleted", risen),
        ("held, and not named", held - named["held"]),
        ("named as lost, and there", named["lost"] & found.keys()),
        ("would be sent, and was not waiting", again),
    ):
        if ids:
            figures.wrong.append(f"{case.name}: {len(ids)} {what}: {sorted(ids)[:3]}")
    figures.gone[case.kind] = max(figures.gone.get(case.kind, 0), len(gone))
    figures.held[case.kind] = max(figures.held.get(case.kind, 0), len(held))


async def run(options):
    chance, figures = chance_of(options.seed), Figures()
    with tempfile.TemporaryDirectory(prefix="damage-") as name:
        folder = Path(name)
        stopped, killed = await make(folder, options.messages)
        cases = [
            *page_cases(stopped, chance, sample=options.sample),
            *cut_cases(stopped, chance, sample=options.sample),
            *log_cases(killed, chance, sample=options.sample),
        ]
        truths = {source: read_truth(source, folder / "truth") for source in (stopped, killed)}
        say(f"{len(cases)} cases; {Counter(truths[stopped].values())}")
        for number, case in enumerate(cases):
            if options.only in case.name:
                await try_case(case, truths[case.source], folder, figures)
            if number % 50 == 0:
                say(f"{number} cases")
    for line in [*figures.not_started, *figures.wrong]:
        say(line)
    return {
        "cases": dict(figures.cases),
        "not_started": len(figures.not_started),
        "wrong": len(figures.wrong),
        "most_gone": figures.gone,
        "most_held": figures.held,
        "slowest_seconds": round(figures.slowest, 2),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=800)
    parser.add_argument("--sample", type=int, default=0, help="pages of each kind; 0: all")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    structlog.configure(cache_logger_on_first_use=False)
    return finish(asyncio.run(run(options)), ["not_started", "wrong"], as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
