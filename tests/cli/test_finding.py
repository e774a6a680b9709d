"""Finding a message by what a person knows of it."""

import json
from datetime import datetime, timedelta

import pytest

from relay.cli.finding import read_moment
from tests.support.command import command
from tests.support.relay import relaying, tree
from tests.support.toml import to_toml

NOON = datetime(2026, 3, 4, 12, 0, 0).astimezone()
NOW = NOON.timestamp()


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("11:30", NOON - timedelta(minutes=30)),
        ("14:00", NOON - timedelta(hours=22)),  # that of yesterday
        ("9:05:07", NOON - timedelta(hours=2, minutes=54, seconds=53)),
        ("2h", NOON - timedelta(hours=2)),
        ("1d", NOON - timedelta(days=1)),
        ("today", NOON.replace(hour=0)),
        ("Yesterday", NOON.replace(hour=0) - timedelta(days=1)),
        ("2026-03-04", NOON.replace(hour=0)),
        ("2026-03-04 11:00", NOON.replace(hour=11)),
        ("2026-03-04T11:00:00+00:00", datetime.fromisoformat("2026-03-04T11:00:00+00:00")),
        ("25:00", None),
        ("noon", None),
        ("", None),
    ],
)
def test_a_time_is_the_last_that_it_can_mean(text, meant):
    assert read_moment(text, NOW) == (None if meant is None else meant.timestamp())


async def test_a_message_is_found_and_told(tmp_path, monkeypatch):
    """ "Where is Yamada's scan of half past two?" had no answer without the id; and all times were UTC."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    config = tmp_path / "relay.toml"
    config.write_text(to_toml(tree("http://127.0.0.1:1", tmp_path / "state")))
    async with relaying(tmp_path / "state", delivery={"wait": "30s"}) as relay:
        first = (await relay.send("yamada@example.net"))[1].rpartition("id=")[2]
        relay.sandbox.add_fault("503", times=0)
        ids = [await relay.put("soumu@example.net") for _ in range(2)]
        told = await command(config, "trace", "--to", "YAMADA", "--since", "1h")
        assert told.returncode == 0, told.stderr
        assert f"message  {first}" in told.stdout
        assert "JST" in told.stdout
        several = await command(config, "trace", "--to", "soumu", "--from", "scanner@")
        assert "2 messages; relay trace ID tells one of them whole" in several.stdout
        assert all(one in several.stdout for one in ids)
        answer = json.loads(
            (await command(config, "trace", "--to", "soumu", "--limit", "1", "--json")).stdout
        )
        assert (answer["total"], len(answer["messages"])) == (2, 1)
        assert answer["messages"][0]["arrival"].endswith("+00:00")
        listed = await command(config, "queue", "list", "--limit", "1")
        assert "the newest 1 of 2; --limit 0 shows all" in listed.stdout
        assert "JST" in listed.stdout
        nothing = await command(config, "trace", "--to", "nobody")
        assert (nothing.returncode, nothing.stdout) == (66, "")
        assert "no message fits" in nothing.stderr
    for words in (("trace",), ("trace", first, "--to", "yamada"), ("trace", "--since", "noon")):
        assert (await command(config, *words)).returncode == 64
