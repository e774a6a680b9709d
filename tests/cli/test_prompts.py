"""Questions that nobody is there to answer, and what `relay explain` says to people."""

from tests.support.command import command, run_relay
from tests.support.relay import relaying, tree
from tests.support.toml import to_toml

MESSAGE = """\
From: NAS <nas@printer.local>
To: yamada@example.com
Subject: {subject}
Date: Sun, 29 Nov 2026 10:00:00 +0900
X-Priority: 1

{body}
"""


async def test_nobody_to_answer_throws_nothing_away(tmp_path):
    """It said "relay: stopped" and 130; and asked about a message that there is not."""
    config = tmp_path / "relay.toml"
    config.write_text(to_toml(tree("http://127.0.0.1:1", tmp_path / "state")))
    async with relaying(tmp_path / "state", delivery={"wait": "0s"}) as relay:
        relay.sandbox.add_fault("503", times=0)
        queue_id = await relay.put()
        done = await command(config, "queue", "discard", queue_id)
        assert done.returncode == 64
        assert "relay: nothing was thrown away; --yes needs no answer" in done.stderr
        assert (await command(config, "queue", "show", queue_id)).returncode == 0
        unknown = await command(config, "queue", "discard", "NOPE")
        assert (unknown.returncode, "no message has the id NOPE" in unknown.stderr) == (65, True)
        assert "for good?" not in unknown.stderr
        # "all these messages" said neither how many nor whose.
        every = await command(config, "queue", "discard", "--account", "scanner")
        assert "Throw 1 message of account scanner away for good?" in every.stderr
        thrown = await command(config, "queue", "discard", "--all", "--yes")
        assert (thrown.returncode, thrown.stdout) == (0, f"{queue_id} discarded\n")
        assert "for good?" not in (await command(config, "queue", "discard", "--all")).stderr


def test_explain_shows_the_notable_first_and_crops_nothing(tmp_path):
    """At eighty columns the body ended in "…", and a flag was True, which no JSON has."""
    path, words = tmp_path / "a.eml", "a word " * 40
    path.write_text(MESSAGE.format(subject=words[:170].strip(), body=words))
    said = explain(path)
    assert words.strip() in said
    assert "isSaveSentMail  true" in said
    notable, usual = said.index("Lost:\n"), said.index("Lost with nearly every message:\n")
    assert notable < said.index("priority") < usual < said.index("  date: ")
    assert "relay help losses" in said


def test_explain_of_a_message_to_nobody_begins_with_that(tmp_path):
    path = tmp_path / "a.eml"
    path.write_text("Subject: x\n\ny\n")
    assert explain(path).startswith("This message names nobody, and would be refused")


def explain(path):
    config = path.parent / "relay.toml"
    config.write_text("")
    done = run_relay(config, "explain", str(path))
    assert done.returncode == 0, done.stderr
    return done.stdout
