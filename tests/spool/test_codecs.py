"""Between rows and the words of the contract."""

import json

import pytest

from relay.outcome import Action, Blame, Cause, Outcome
from relay.spool.rows.codecs import dump_outcome, load_outcome

FULL = Outcome(Action.DELAYED, "4.7.28", Blame.GATEWAY, "the day is full", cause=Cause.DAY_IS_FULL)


@pytest.mark.parametrize("cause", Cause)
def test_an_outcome_keeps_its_cause(cause):
    outcome = Outcome(Action.DELAYED, "4.4.1", Blame.REMOTE, "down", cause=cause)
    assert load_outcome(dump_outcome(outcome)) == outcome


def test_an_outcome_of_a_release_without_causes_is_read():
    """After an update the spool holds outcomes that were stored before there was a cause."""
    tree = json.loads(dump_outcome(FULL))
    del tree["cause"]
    assert load_outcome(json.dumps(tree)).cause is Cause.OTHER


def test_a_cause_of_a_later_release_spoils_nothing():
    """Who goes back to an older release keeps what the newer one recorded."""
    tree = json.loads(dump_outcome(FULL)) | {"cause": "of a later release"}
    assert load_outcome(json.dumps(tree)).cause is Cause.OTHER
