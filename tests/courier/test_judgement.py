"""What an outcome means, given the ones before: each row of the judgement's table, with real diagnoses."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from relay.config.current import Current
from relay.config.load import build
from relay.courier.judgement import Now, Tried, expiry, settle_fault
from relay.courier.standing import Standing
from relay.envelope import Content, Envelope
from relay.host.clock import Clock
from relay.outcome import Action, Blame, Cause, Hold, Outcome, Scope
from relay.spool import Claim, Entry, State
from relay.works.diagnosis import Answer, Failure, diagnose, diagnose_failure, diagnose_probe
from relay.works.pace.circuit import Circuit

HOUR, DAY = 3600.0, 86400.0
ERROR = b'{"code": "INVALID_PARAMETER", "description": "not good"}'
QUOTA = b'{"code": "LIMIT_EXCEEDED", "description": "enough"}'
TAKEN = diagnose(Answer(202, {}))
REFUSED = diagnose(Answer(400, {}, ERROR, whole=True))
PAGE = diagnose(Answer(400, {}, b"<html>Bad Request</html>", whole=True))
TOO_LARGE_PAGE = diagnose(Answer(413, {}, b"", whole=True))
OVER_QUOTA = diagnose(Answer(400, {}, QUOTA, whole=True))
FORBIDDEN = diagnose(Answer(403, {}, ERROR, whole=True))
UNAUTHORIZED = diagnose(Answer(401, {}, ERROR, whole=True))
UNREACHABLE = diagnose_failure(Failure.NOT_REACHED)
UNKNOWN = diagnose_failure(Failure.NO_ANSWER)
TRUE_ANSWERS = [
    TAKEN,
    REFUSED,
    FORBIDDEN,
    OVER_QUOTA,
    *(diagnose(Answer(n, {}, ERROR, whole=True)) for n in (401, 404, 429)),
]


class World:
    """Outcomes come in, by a clock that is moved by hand."""

    def __init__(self, accounts=("a",), **delivery):
        rows = [{"name": name, "address": f"{name}@example.com"} for name in accounts]
        config = build({"state_dir": "/nowhere", "account": rows, "delivery": delivery}, environ={})
        self.now, self.jump, self.gate = 1e9, 0.0, Circuit()
        clock = Clock(lambda: self.now + self.jump, lambda: self.now)
        self.standing = Standing(Current(config), self.gate, clock)
        self.config = config

    def claim(self, message, account="a", **more):
        envelope = Envelope("s@example.com", ("r@example.com",), datetime.now(UTC))
        about = {"arrival": self.now, "next_attempt": 0.0, "attempts": 0, "unknowns": 0, **more}
        entry = Entry(message, State.QUEUED, account, envelope, 1, "", **about)
        return Claim(entry, Content(1, ""), about["attempts"] + 1, "token")

    def end(self, message, outcome, account="a", *, probe=False, **more):
        """A message's only request ended so; the judgement."""
        return self.standing.judge(Tried(self.claim(message, account, **more), probe=probe), [], outcome)

    def excuses(self, account="a"):
        state = self.standing.look(account)
        return expiry.excuses(state, self.config.delivery.give_up_after, self.now)


# The message.


@pytest.mark.parametrize(
    ("outcome", "state", "spent"),
    [
        (TAKEN, State.RELAYED, True),
        (REFUSED, State.FAILED, True),
        (PAGE, State.DELAYED, True),
        (TOO_LARGE_PAGE, State.DELAYED, True),
        (FORBIDDEN, State.DELAYED, True),
        (OVER_QUOTA, State.QUEUED, False),
        (UNREACHABLE, State.DELAYED, True),
        (UNKNOWN, State.DELAYED, True),
        (diagnose(Answer(429, {})), State.QUEUED, False),
        (diagnose_failure(Failure.NO_GRANT), State.QUEUED, False),
    ],
    ids=lambda value: value.reason[:40] if isinstance(value, Outcome) else str(value),
)
def test_a_first_outcome_settles_its_message(outcome, state, spent):
    settlement = World().end("m1", outcome).settlement
    assert (settlement.state, settlement.spent) == (state, spent)


def test_what_nobody_knows_is_tried_twice_and_then_waits_for_a_person():
    world = World()
    states = [world.end("m1", UNKNOWN, unknowns=n).settlement for n in range(3)]
    assert [one.state for one in states] == [State.DELAYED, State.DELAYED, State.HELD]
    assert states[2].hold is Hold.OUTCOME


def test_a_fault_that_comes_back_waits_for_a_person():
    world, now = World(), Now(1e9, 1e9)
    first = settle_fault(world.config.delivery, world.claim("m1"), now)
    assert (first.state, first.outcome.cause) == (State.DELAYED, Cause.FAULT)
    third = world.claim("m1", attempts=2, cause=first.outcome.cause)
    assert settle_fault(world.config.delivery, third, now).state is State.HELD
    another = world.claim("m1", attempts=2, cause=Cause.UNREACHABLE)
    assert settle_fault(world.config.delivery, another, now).state is State.DELAYED


@pytest.mark.parametrize("status", [302, 307, 400, 403, 406, 407, 413, 418, 422, 451, 501, 505])
def test_an_old_message_is_given_up_but_never_on_the_word_of_a_proxy(status):
    """Five days of a filter's page are nobody's verdict: a filter's 403 to one message bounced it."""
    world = World()
    world.now += 6 * DAY
    old = {"arrival": world.now - 5.5 * DAY, "since": world.now - 5.5 * DAY}
    assert world.end("m1", replace(UNREACHABLE, if_repeated=None), **old).settlement.state is State.FAILED
    assert world.end("m2", FORBIDDEN, **old).settlement.state is State.FAILED
    page = diagnose(Answer(status, {}, b"<html>Blocked</html>", whole=True))
    world.end("n1", TAKEN)  # Works itself is well
    assert world.end("m3", page, **old).settlement.state is State.HELD


# Messages refused in words that are not Works' own.


def test_five_different_messages_in_a_row_hold_their_account():
    """A proxy's page to everything once bounced everything."""
    world = World()
    judged = [world.end(f"m{n % 5}", PAGE) for n in (0, 0, 1, 1, 2, 3)]
    assert world.standing.holds == {}
    last = world.end("m4", TOO_LARGE_PAGE)
    assert world.standing.holds["a"].held
    assert "proxy" in last.outcome.reason
    assert {one.settlement.state for one in judged} == {State.DELAYED}
    assert last.settlement.state is State.QUEUED
    assert not world.standing.api_is_down


def test_a_taken_message_between_them_ends_the_row():
    world = World()
    for n in range(20):
        world.end(f"m{n}", PAGE)
        if n % 4 == 3:
            world.end(f"taken{n}", TAKEN)
    assert world.standing.holds == {}


def test_one_message_that_a_filter_refuses_while_others_pass_waits_for_a_person():
    world = World()
    states = []
    for n in range(3):
        states.append(world.end("m1", TOO_LARGE_PAGE).settlement.state)
        world.end(f"n{n}", TAKEN)
    assert states == [State.DELAYED, State.DELAYED, State.HELD]
    assert world.standing.holds == {}


def test_a_page_says_neither_that_the_api_is_up_nor_that_the_account_is_well():
    world = World(("a", "b"))
    world.standing.hold("a", OVER_QUOTA)
    world.end("m1", UNREACHABLE, "b")
    world.end("m2", UNREACHABLE, "b")
    world.end("m3", PAGE)
    assert world.standing.api_is_down
    assert "a" in world.standing.holds


# The API.


def test_two_different_messages_open_the_circuit_and_one_alone_does_not():
    world = World()
    for _ in range(5):
        world.end("m1", UNREACHABLE)
    assert not world.standing.api_is_down
    world.end("m2", UNREACHABLE)
    assert world.standing.api_is_down
    assert world.gate.down_since == 1e9


@pytest.mark.parametrize("answer", TRUE_ANSWERS, ids=lambda one: str(one.http_status))
def test_any_answer_that_shows_the_api_at_work_closes_the_circuit(answer):
    world = World()
    world.end("m1", UNREACHABLE)
    world.end("m2", UNREACHABLE)
    world.end("m3", answer)
    assert not world.standing.api_is_down
    assert world.gate.down_since is None


def test_a_token_problem_says_nothing_about_the_api():
    world = World()
    for number in range(5):
        world.end(f"m{number}", diagnose_failure(Failure.TOKEN_UNAVAILABLE))
    assert not world.standing.api_is_down


def test_an_account_whose_calls_hang_waits_alone():
    """Its two unknown outcomes once stopped everybody's mail, again and again."""
    world = World(("a", "b"))
    for n in range(6):
        world.end(f"m{n}", UNKNOWN, "a")
        world.end(f"n{n}", TAKEN, "b")
    assert not world.standing.api_is_down
    hold = world.standing.holds["a"]
    assert not hold.held  # it passes by itself
    assert world.standing.wait("b") == 0


def test_hanging_calls_of_two_accounts_are_everybodys_trouble():
    world = World(("a", "b", "c"))
    world.end("m1", UNKNOWN, "a")
    world.end("m2", UNKNOWN, "b")
    assert world.standing.api_is_down


def test_hanging_calls_of_the_only_account_are_everybodys_trouble():
    world = World()
    world.end("m1", UNKNOWN)
    world.end("m2", UNKNOWN)
    assert world.standing.api_is_down


# Probes.


def test_while_the_api_is_down_a_message_follows_a_probe_that_got_through():
    world = World()
    world.end("m1", UNREACHABLE)
    world.end("m2", UNREACHABLE)
    assert not world.standing.api_probe_is_due
    world.now += 31
    assert world.standing.api_probe_is_due
    world.standing.probed_api(UNREACHABLE)
    assert world.gate.free_in() > 0
    world.now += 31
    world.standing.probed_api(None)
    assert world.gate.free_in() == 0
    world.gate.take()
    world.end("m3", UNREACHABLE)
    world.gate.release()
    assert world.gate.free_in() > 0
    assert not world.standing.api_probe_is_due


def test_two_good_probes_and_no_mail_to_try_are_proof():
    world = World()
    world.end("m1", UNREACHABLE)
    world.end("m2", UNREACHABLE)
    for _ in range(2):
        world.now += 31
        world.standing.probed_api(None)
    assert not world.standing.api_is_down


def test_an_answer_about_one_account_shows_that_the_api_is_up():
    """A grant may be refused just when the API is well again: its mail is held then, and not everybody's."""
    world = World(("a", "b"))
    world.end("m1", UNREACHABLE, "a")
    world.end("m2", UNREACHABLE, "b")
    world.now += 31
    world.standing.probed_api(diagnose_probe(Answer(401, {}, ERROR, whole=True), "a"))
    assert world.gate.free_in() == 0
    world.now += 31
    world.standing.probed_api(diagnose_probe(Failure.NOT_REACHED, "a"))
    assert world.standing.api_is_down


def test_an_account_in_trouble_is_probed_at_growing_distances():
    world = World()
    world.end("m1", OVER_QUOTA)
    began, probes = world.now, []
    while world.now < began + 6 * HOUR:
        if world.standing.probes_due():
            probes.append(world.now)
            world.standing.probed("a", OVER_QUOTA)
        world.now += 10
    distances = [round(b - a, -1) for a, b in pairwise(probes)]
    assert probes[0] - began == 300
    assert distances == [600, 1200, 2400, *[3600] * (len(distances) - 3)]


def test_after_a_good_probe_one_message_tries_the_account():
    world = World()
    world.end("m1", OVER_QUOTA)
    world.now += 301
    assert world.standing.probes_due() == ["a"]
    world.standing.probed("a", None)
    assert world.standing.wait("a") == 0
    trying = world.standing.take("a")
    assert world.standing.wait("a") > 0
    world.end("m2", OVER_QUOTA, probe=True)
    world.standing.give_back(trying)
    assert world.standing.wait("a") > 0
    assert world.standing.holds["a"].pause == 600
    world.now += 700
    world.standing.probed("a", None)
    trying = world.standing.take("a")
    world.end("m3", TAKEN, probe=True)
    assert world.standing.holds == {}


def test_a_401_to_one_message_alone_keeps_nobody_else_waiting():
    """It was taken for the grant's whatever the message, which kept its turn before all others for good."""
    world, states = World(), []
    for _ in range(2):
        states.append(world.end("m1", UNAUTHORIZED).settlement.state)
        world.now += 2 * HOUR
        world.standing.probed("a", None)
        states.append(world.end("m1", UNAUTHORIZED, probe=True).settlement.state)
        world.end("n1", TAKEN, probe=True)
        assert world.standing.holds == {}
    states.append(world.end("m1", UNAUTHORIZED).settlement.state)
    assert states == [State.QUEUED, State.DELAYED, State.QUEUED, State.DELAYED, State.HELD]
    assert world.standing.holds == {}


# The account.


def test_a_403_holds_the_account_when_a_second_message_gets_it():
    world = World(("a", "b"))
    actions = [world.end(m, FORBIDDEN, who).outcome for m, who in (("m1", "a"), ("m1", "a"), ("m2", "b"))]
    assert {one.action for one in actions} == {Action.DELAYED}
    held = world.end("m3", FORBIDDEN, "a").outcome
    assert (held.action, held.scope) == (Action.HELD, Scope.ACCOUNT)


def test_a_403_between_two_that_went_is_that_messages_own():
    world = World()
    for number in range(5):
        assert world.end(f"m{number}", FORBIDDEN).outcome.action is Action.DELAYED
        world.end(f"n{number}", TAKEN)


def test_after_somebody_looked_after_the_account_one_refusal_is_one_again():
    world = World()
    world.end("m1", FORBIDDEN)
    world.end("m2", FORBIDDEN)
    world.standing.release("a")
    assert world.end("m1", FORBIDDEN).outcome.action is Action.DELAYED


# The time that a message has.

UP = Outcome(Action.RELAYED, "2.0.0", Blame.REMOTE, "taken", http_status=202)
DOWN = Outcome(Action.DELAYED, "4.4.1", Blame.REMOTE, "down", if_repeated=Scope.API)


def test_nothing_is_given_up_while_the_api_was_down_for_four_hours():
    world = World()
    world.end("m", UP)
    world.now += 10 * HOUR
    assert not world.excuses()
    world.end("m", DOWN)
    world.now += 3.9 * HOUR
    world.end("m", DOWN)
    assert not world.excuses()
    world.now += 0.2 * HOUR
    assert world.excuses()
    world.end("m", UP)
    assert world.excuses()  # an old message still deserves its chance
    world.now += 4.1 * HOUR
    assert not world.excuses()


@pytest.mark.parametrize("jump", [0.0, -10 * HOUR])
def test_an_outage_that_goes_on_at_the_start_has_lasted_since_the_start(jump):
    """The grace ends four hours after it, and the first attempt came a quarter of an hour later: no gap."""
    world = World(give_up_after="1d")
    if jump:
        world.end("m", UP)
        world.now, world.jump = world.now + 10 * HOUR, jump
    world.now += 0.25 * HOUR
    world.end("m", DOWN)
    for _ in range(100):
        world.now += 0.25 * HOUR
        assert world.excuses()
        world.end("m", DOWN)


def test_nothing_is_given_up_while_its_account_was_in_trouble():
    world = World(("a", "b"))
    world.now += 10 * HOUR
    world.standing.hold("a", OVER_QUOTA)
    world.now += 5 * HOUR
    assert world.excuses("a")
    assert not world.excuses("b")


@pytest.mark.parametrize("days", [-5, 5])
def test_a_clock_that_jumps_gives_nothing_up(days):
    """Five days forward every waiting message is too old at once; none of them has been tried for so long."""
    world = World()
    world.now += 10 * HOUR
    world.jump = days * DAY
    old = {"arrival": 1.0, "since": 1.0}
    assert world.end("m", replace(UNREACHABLE, if_repeated=None), **old).settlement.state is State.DELAYED
