"""The table: every row, and what is not in it."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from relay.outcome import Action, Blame, Scope
from relay.works.diagnosis import Answer, Failure, diagnose, diagnose_failure

DOCUMENT = Path(__file__).parents[2] / "docs" / "outcomes.md"


def answer(status, code="", description="", **headers):
    body = json.dumps({"code": code, "description": description}).encode() if code or description else b""
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


ROWS = [
    (202, "", Action.RELAYED, "2.0.0", Blame.REMOTE, Scope.MESSAGE, None),
    (400, "INVALID_PARAMETER", Action.FAILED, "5.6.0", Blame.MESSAGE, Scope.MESSAGE, None),
    (400, "", Action.FAILED, "5.6.0", Blame.MESSAGE, Scope.MESSAGE, None),
    (400, "LIMIT_EXCEEDED", Action.HELD, "4.7.0", Blame.GATEWAY, Scope.ACCOUNT, None),
    (401, "UNAUTHORIZED", Action.HELD, "4.7.0", Blame.GATEWAY, Scope.ACCOUNT, None),
    (403, "FORBIDDEN", Action.DELAYED, "4.7.1", Blame.GATEWAY, Scope.MESSAGE, Scope.ACCOUNT),
    (403, "ACCESS_DENIED", Action.DELAYED, "4.7.1", Blame.GATEWAY, Scope.MESSAGE, Scope.ACCOUNT),
    (403, "LIMIT_EXCEEDED", Action.HELD, "4.7.0", Blame.GATEWAY, Scope.ACCOUNT, None),
    (404, "NOT_FOUND", Action.HELD, "4.3.5", Blame.GATEWAY, Scope.ACCOUNT, None),
    (413, "", Action.FAILED, "5.3.4", Blame.MESSAGE, Scope.MESSAGE, None),
    (429, "TOO_MANY_REQUESTS", Action.DELAYED, "4.4.5", Blame.REMOTE, Scope.API, None),
    (503, "SERVICE_UNAVAILABLE", Action.DELAYED, "4.4.5", Blame.REMOTE, Scope.MESSAGE, Scope.API),
    (500, "INTERNAL_SERVER_ERROR", Action.UNKNOWN, "4.3.0", Blame.REMOTE, Scope.MESSAGE, Scope.API),
    (502, "", Action.UNKNOWN, "4.4.0", Blame.REMOTE, Scope.MESSAGE, Scope.API),
    (504, "", Action.UNKNOWN, "4.4.0", Blame.REMOTE, Scope.MESSAGE, Scope.API),
    (200, "", Action.UNKNOWN, "4.3.0", Blame.REMOTE, Scope.MESSAGE, Scope.API),
    (302, "", Action.DELAYED, "4.4.4", Blame.REMOTE, Scope.MESSAGE, Scope.API),
    (307, "", Action.DELAYED, "4.4.4", Blame.REMOTE, Scope.MESSAGE, Scope.API),
]


@pytest.mark.parametrize(("status", "code", "action", "enhanced", "blame", "scope", "again"), ROWS)
def test_rows(status, code, action, enhanced, blame, scope, again):
    outcome = diagnose(answer(status, code))
    assert (outcome.action, outcome.status, outcome.blame) == (action, enhanced, blame)
    assert (outcome.scope, outcome.if_repeated) == (scope, again)
    assert (outcome.http_status, outcome.code) == (status, code)


@pytest.mark.parametrize("status", [402, 405, 408, 415, 418, 422, 431, 451, 501, 505, 507, 520, 599, 999])
def test_what_nobody_has_seen_before_is_delayed(status):
    outcome = diagnose(answer(status, "SOMETHING_NEW"))
    assert (outcome.action, outcome.blame) == (Action.DELAYED, Blame.REMOTE)


FAILURES = {
    Failure.NAME_UNKNOWN: Action.DELAYED,
    Failure.NOT_REACHED: Action.DELAYED,
    Failure.TLS: Action.DELAYED,
    Failure.CUT_BEFORE: Action.DELAYED,
    Failure.STUCK: Action.DELAYED,
    Failure.CUT_AFTER: Action.UNKNOWN,
    Failure.NO_ANSWER: Action.UNKNOWN,
    Failure.NOT_HTTP: Action.UNKNOWN,
    Failure.INTERRUPTED: Action.UNKNOWN,
    Failure.NO_GRANT: Action.HELD,
    Failure.TOKEN_REFUSED: Action.HELD,
    Failure.APP_REFUSED: Action.HELD,
    Failure.TOKEN_UNAVAILABLE: Action.DELAYED,
    Failure.TOKEN_OVERDUE: Action.HELD,
}


@pytest.mark.parametrize("failure", Failure)
def test_failures(failure):
    outcome = diagnose_failure(failure)
    assert outcome.action is FAILURES[failure]
    assert outcome.http_status is None
    # Our own trouble never fails a message.
    assert outcome.blame is not Blame.MESSAGE


def test_every_temporary_outcome_carries_a_temporary_status():
    outcomes = [diagnose_failure(failure) for failure in Failure]
    outcomes += [diagnose(answer(status)) for status in range(200, 600)]
    for outcome in outcomes:
        first = {Action.RELAYED: "2", Action.FAILED: "5"}.get(outcome.action, "4")
        assert outcome.status[0] == first
        assert outcome.reason.isascii()  # it may stand in an SMTP reply


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>no</html>",
        b"[1]",
        b'"text"',
        b"null",
        b"\xff\xfe",
        b'{"code": 5}',
        b"[" * 100_000,
        b'{"code": "x y"}',
    ],
)
def test_bodies_that_are_not_the_documented_error(body):
    outcome = diagnose(Answer(400, {}, body))
    assert (outcome.action, outcome.code) == (Action.FAILED, "")


@pytest.mark.parametrize("code", ["lower", "A" * 41, "A-B", "A\nB", "", "\uff21"])
def test_a_code_of_another_form_is_not_passed_on(code):
    assert diagnose(answer(400, code, "x")).code == ""


def test_the_description_is_made_harmless():
    said = (
        "bad address tanaka@example.com\r\nin\x00 鈴木\uff20example.jp \u2028 token "
        + "a" * 60
        + " end "
        + "z " * 300
    )
    diagnostic = diagnose(answer(400, "INVALID_PARAMETER", said)).diagnostic
    assert "tanaka" not in diagnostic
    assert "example" not in diagnostic
    assert "aaaa" not in diagnostic
    assert diagnostic.isprintable()
    assert len(diagnostic) <= 200


def test_the_reason_is_never_the_apis():
    assert "secret words" not in diagnose(answer(400, "INVALID_PARAMETER", "secret words")).reason


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, 60.0),
        ({"ratelimit_reset": "17"}, 17.0),
        ({"retry_after": "5"}, 5.0),
        ({"ratelimit_reset": "3", "retry_after": "9"}, 9.0),
        ({"retry_after": "999999999"}, 3600.0),
        ({"ratelimit_reset": "-5"}, 60.0),
        ({"ratelimit_reset": "1e9"}, 60.0),
        ({"ratelimit_reset": "9" * 5000}, 60.0),
        ({"retry_after": "tomorrow"}, 60.0),
        ({"retry_after": "Mon, 01 Jan 2001 00:00:00 GMT"}, 1.0),
        ({"ratelimit_reset": "0"}, 1.0),
    ],
)
def test_how_long_a_429_asks_to_wait(headers, wait):
    assert diagnose(answer(429, "TOO_MANY_REQUESTS", **headers)).retry_after == wait


def test_retry_after_as_a_date():
    when = (datetime.now(UTC) + timedelta(seconds=100)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    wait = diagnose(answer(503, retry_after=when)).retry_after
    assert wait is not None
    assert 95 < wait <= 100


def test_a_success_has_no_wait():
    assert diagnose(answer(202, ratelimit_reset="30")).retry_after is None


def documented(pattern):
    rows = [
        line.strip("| ").split(" | ") for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")
    ]
    return [[cell.strip() for cell in row] for row in rows if re.fullmatch(pattern, row[0])]


def test_the_document_says_what_the_table_does():
    rows = documented(r"\d{3}( [A-Z_]+)?")
    assert {int(row[0][:3]) for row in rows} == {202, 400, 401, 403, 404, 413, 429, 500, 502, 503, 504}
    for row in rows:
        status, _, code = row[0].partition(" ")
        outcome = diagnose(answer(int(status), code))
        assert [outcome.action, outcome.status, outcome.reason] == [row[1], row[2], row[-1]]
    failures = {row[0]: row for row in documented("[a-z ]+")}
    for failure in Failure:
        row = failures[failure.name.lower().replace("_", " ")]
        outcome = diagnose_failure(failure)
        assert [outcome.action, outcome.status, outcome.reason] == [row[1], row[2], row[-1]]
