"""The short form of each crash script: a minute of what the long runs do for a quarter of an hour."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def run(script, *arguments):
    done = subprocess.run(
        [sys.executable, HERE / script, "--json", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout
    return json.loads(done.stdout)


def test_nothing_accepted_is_lost_when_the_relay_is_killed():
    result = run("kill.py", "--kills", 8, "--messages", 200, "--points", 1000)
    assert result["kills"] == 8
    assert result["accepted"] >= 200


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_no_250_leaves_before_its_row_and_file_are_flushed():
    result = run("order.py", "--messages", 60)
    assert result["row_flushed_before_the_250"] == 60


def test_a_disk_without_room_loses_nothing_and_sends_nothing_twice():
    result = run("full_disk.py", "--times", 4, "--limit")
    assert result["deferred"]


def test_whoever_hangs_up_at_any_moment_gets_one_mail():
    result = run("hang_up.py", "--clients", 100, "--stop-every", 3)
    assert result["submitted"] == 100


def test_faults_that_sent_nothing_make_no_second_mail():
    result = run("duplicates.py", "--messages", 300)
    assert result["faults_met"]


def test_a_long_queue_costs_each_message_no_more():
    result = run("million.py", "--waiting", 20_000)
    assert result["waiting"] == 20_000
