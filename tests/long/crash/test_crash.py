"""The short form of each crash script: seconds of what the long runs do for minutes."""

import json
import shutil
import subprocess
import sys

import pytest

from tests.support import ROOT


def run(script, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", f"tests.long.crash.{script}", "--json", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout
    return json.loads(done.stdout)


def test_nothing_accepted_is_lost_when_the_relay_is_killed():
    result = run("kill", "--kills", 5, "--messages", 100, "--points", 1000)
    assert result["kills"] == 5
    assert result["accepted"] >= 100


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_no_250_leaves_before_its_row_and_file_are_flushed():
    result = run("order", "--messages", 60)
    assert result["row_flushed_before_the_250"] == 60


def test_a_disk_without_room_loses_nothing_and_sends_nothing_twice():
    result = run("full_disk", "--times", 3, "--limit")
    assert result["deferred"]


def test_whoever_hangs_up_at_any_moment_gets_one_mail():
    result = run("hang_up", "--clients", 80, "--stop-every", 100)
    # Those who reset in the very moment of the reply cannot know, and are not judged.
    unjudged = result["ends"].get("written in time", 0)
    assert result["submitted"] == 80 - unjudged
    assert unjudged < 10


def test_faults_that_sent_nothing_make_no_second_mail():
    result = run("duplicates", "--messages", 60, "--least", 1)
    assert min(result["faults_met"].values()) >= 1


def test_a_long_queue_costs_each_message_no_more():
    result = run("million", "--waiting", 5000, "--rounds", 3)
    assert result["waiting"] == 5000


def test_a_spoiled_page_costs_what_stood_on_it_and_no_start():
    """A bad page of the index of turns ended every start; one of the messages' root lost all of them."""
    result = run("damage", "--messages", 60, "--sample", 1, "--seed", 7)
    assert result["not_started"] == 0
    assert sum(result["cases"].values()) >= 25  # of small spools there are fewer kinds of pages
