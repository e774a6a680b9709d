"""`relay spool move`: from the embedded spool into the database; nothing is lost, and nothing sent twice."""

import asyncio
import itertools

import pytest

from relay.config.include import LEARNED
from relay.config.load import build
from relay.config.model import Device
from relay.devices.adopted import append, read
from relay.grants import Grant
from relay.host.documents import NAMES
from relay.outcome import Action, Blame, Outcome
from relay.spool import Settlement, SpoolError, State
from relay.spool.sqlite.engine import SqliteSpool
from relay.stores import move_spool, open_documents, open_grants, open_spool
from relay.works.auth.files import FileGrants
from tests.support import postgres
from tests.support.submissions import make_submission

TAKEN = Outcome(Action.RELAYED, "2.0.0", Blame.REMOTE, "taken")
LATER = Outcome(Action.DELAYED, "4.4.1", Blame.REMOTE, "down")
GRANT = Grant("AAA-secret", 2e9, "RRR-secret", 1e9, 1e9, 1e9)


@pytest.fixture
def config(tmp_path, database):
    return build(
        {
            "state_dir": str(tmp_path),
            "account": [{"name": "scanner", "address": "scanner@example.com"}],
            "spool": {"url": postgres.server().url(database, "relay"), "key": postgres.KEY},
        },
        {},
    )


async def fill(folder, number):
    """A spool of many kinds of messages; the ids of those that wait, in their order."""
    spool = SqliteSpool(folder)
    await spool.open()
    for state in (State.RELAYED, State.DELAYED, State.FAILED):
        await spool.put(make_submission(spool, f"{state}".encode() + b"\0"), "scanner")
        with await spool.claim(["scanner"], 0) as claim:
            await spool.start(claim, 0, ["a@example.com"])
            outcome = TAKEN if state is State.RELAYED else LATER
            await spool.settle(claim, Settlement(state, outcome, next_attempt=9e9), ended=(0, outcome))
    sending = await spool.put(make_submission(spool, b"sending"), "scanner")
    await spool.start(await spool.claim(["scanner"], 0), 0, ["a@example.com"])
    ids = []
    for one in range(number):
        size = 200_000 if one == 1 else 10
        ids.append(await spool.put(make_submission(spool, b"%06d" % one + b"x" * size), "scanner"))
    spool.unheard(ids[0])
    await spool.close()
    return sending, ids


async def claim_all(spool):
    claimed = []
    while True:
        claim = await spool.claim(["scanner"], 0)
        if claim is None:
            return claimed
        with claim, claim.content.map() as octets:
            claimed.append((claim.entry.queue_id, bytes(octets[:6])))


async def test_everything_goes_there_in_its_order(config, tmp_path):
    sending, ids = await fill(tmp_path / "spool", 12)
    await FileGrants(tmp_path).store("scanner", GRANT)
    files = {name: f'{{"{name}": 1}}' for name in NAMES} | {LEARNED: '[[device]]\naddress = "192.168.1.50"\n'}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    await open_documents(config).store(LEARNED, append("", Device(address="192.168.1.51")), 0)
    done = await move_spool(config)
    assert (done.moved, done.known, done.damaged) == (16, 0, ())
    assert (done.aside / "spool.db").exists()
    spool = open_spool(config)
    await spool.open()
    counts = {state.value: number for state, number in (await spool.counts()).items() if number}
    assert counts == {"queued": 12, "sending": 1, "delayed": 1, "failed": 1, "relayed": 1}
    (one,) = await spool.interrupted()
    assert (one.claim.entry.queue_id, one.outcome.action) == (sending, Action.UNKNOWN)
    assert await claim_all(spool) == [(queue_id, b"%06d" % at) for at, queue_id in enumerate(ids)]
    again = make_submission(spool, b"000000" + b"x" * 10)
    assert (await spool.recall(again)).queue_id == ids[0]
    assert len(await spool.history(0.0)) == 4
    await spool.close()
    assert await open_grants(config).store.load("scanner") == GRANT
    moved = {name: (await open_documents(config).load(name)).text for name in NAMES}
    assert [one.address for one in read(moved.pop(LEARNED))] == ["192.168.1.51", "192.168.1.50"]
    del files[LEARNED]
    assert moved == files


async def test_a_move_that_broke_off_is_begun_again(config, tmp_path, monkeypatch):
    """Killed in between, no relay opens either spool: mail that is in both would go twice."""
    from relay.spool.sqlite import export

    monkeypatch.setattr(export, "_PIECE", 5)
    _, ids = await fill(tmp_path / "spool", 12)
    pieces = export.Export.pieces

    def two_and_no_more(self):
        yield from itertools.islice(pieces(self), 2)
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(export.Export, "pieces", two_and_no_more)
        with pytest.raises(asyncio.CancelledError):
            await move_spool(config)
    for spool in (SqliteSpool(tmp_path / "spool"), open_spool(config)):
        with pytest.raises(SpoolError, match="relay spool move"):
            await spool.open()
    done = await move_spool(config)
    assert (done.moved, done.known) == (6, 10)
    spool = open_spool(config)
    await spool.open()
    assert [queue_id for queue_id, _ in await claim_all(spool)] == ids
    await spool.close()
    with pytest.raises(SpoolError, match="no embedded spool"):
        await move_spool(config)


async def test_what_is_damaged_stays_for_a_person(config, tmp_path):
    _, ids = await fill(tmp_path / "spool", 3)
    (tmp_path / "spool" / "content" / ids[1]).write_bytes(b"something else")
    done = await move_spool(config)
    assert done.damaged == (ids[1],)
    assert (done.aside / "content" / ids[1]).exists()


async def test_nothing_is_moved_beside_a_running_relay(config, tmp_path, opened):
    await fill(tmp_path / "spool", 1)
    running = SqliteSpool(tmp_path / "spool")
    await running.open()
    with pytest.raises(SpoolError, match="another relay is using"):
        await move_spool(config)
    await running.close()
    await opened("other")
    with pytest.raises(SpoolError, match="the database is in use, by other"):
        await move_spool(config)
