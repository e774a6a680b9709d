"""The record of who changed what: by whom, for what, how it ended, and nothing that is a secret."""

import os

from relay.operator import calling
from relay.operator.asking import ask
from relay.operator.audit import Audit, name_asker
from tests.support.relay import relaying


async def test_what_is_changed_is_recorded_with_whoever_asked(tmp_path):
    """By the socket it is the process's user, by the console a name; what only looks is left out."""
    async with relaying(tmp_path / "state", delivery={"wait": "0s"}) as relay:
        path = tmp_path / "state" / "control.sock"
        await calling.call(path, "queue_hold", queue_ids=["none"])
        await calling.call(path, "queue_list", states=["held"], limit=1)
        await ask(relay.service.verbs, {"console_user": "admin"}, "queue_release", {"account": "scanner"})
        records = (await calling.call(path, "audit", limit=10))["records"]
    assert [(one["verb"], one["about"]) for one in records] == [
        ("queue_release", {"account": "scanner"}),
        ("queue_hold", {"queue_ids": ["none"]}),
    ]
    assert (records[0]["who"], records[1]["uid"]) == ("admin", os.getuid())
    assert (tmp_path / "state" / "audit.jsonl").stat().st_mode & 0o777 == 0o600


def test_it_holds_no_secret_and_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("relay.operator.audit._LARGEST", 2_000)
    audit = Audit(tmp_path)
    audit.note({"uid": 0}, "login", {"account": "scanner", "code": "geheim", "verifier": "geheim"}, "refused")
    assert audit.latest(1)[0]["refused"] == "refused"
    for number in range(50):
        audit.note({"uid": 0}, "queue_hold", {"queue_ids": [str(number)] * 30})
    records = audit.latest(1_000)
    audit.close()
    files = sorted(tmp_path.iterdir())
    assert "geheim" not in "".join(file.read_text() for file in files)
    assert len(files) == 2
    assert sum(file.stat().st_size for file in files) < 5_000
    assert records[0]["about"]["queue_ids"] == ["49"] * 20
    assert records[0]["about"]["more"] == 10


def test_a_torn_line_and_a_folder_that_is_gone_are_no_end(tmp_path):
    (tmp_path / "audit.jsonl").write_text('{"verb": "a"}\n{"ver')
    audit = Audit(tmp_path)
    assert [one["verb"] for one in audit.latest(10)] == ["a"]
    audit.close()
    gone = Audit(tmp_path / "gone")
    gone.note({}, "queue_hold", {})
    assert gone.latest(10) == []
    gone.close()


def test_whoever_asks_has_a_name_where_it_is_known():
    assert name_asker({"console_user": "admin"}) == "admin"
    assert name_asker({"uid": 0}) == "root"
    assert name_asker({"uid": 3_999_999_999}) == "uid 3999999999"
    assert name_asker({}) == ""
