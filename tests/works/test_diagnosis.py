"""The table: every row, and what is not in it."""

import gzip
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from relay.outcome import Action, Blame, Cause, Scope
from relay.works.diagnosis import Answer, Failure, diagnose, diagnose_failure, diagnose_probe
from tests.support.at_once import at_once

DOCUMENT = Path(__file__).parents[2] / "docs" / "outcomes.md"


def answer(status, code="", description="", **headers):
    body = json.dumps({"code": code, "description": description}).encode() if code or description else b""
    return Answer(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, body, whole=True
    )


ROWS = [
    (202, "", Action.RELAYED, "2.0.0", Blame.REMOTE, Scope.MESSAGE, None),
    (400, "INVALID_PARAMETER", Action.FAILED, "5.6.0", Blame.MESSAGE, Scope.MESSAGE, None),
    (400, "", Action.DELAYED, "4.4.0", Blame.REMOTE, Scope.MESSAGE, None),
    (400, "LIMIT_EXCEEDED", Action.HELD, "4.7.0", Blame.GATEWAY, Scope.ACCOUNT, None),
    (401, "UNAUTHORIZED", Action.HELD, "4.7.0", Blame.GATEWAY, Scope.ACCOUNT, None),
    (403, "FORBIDDEN", Action.DELAYED, "4.7.1", Blame.GATEWAY, Scope.MESSAGE, Scope.ACCOUNT),
    (403, "ACCESS_DENIED", Action.DELAYED, "4.7.1", Blame.GATEWAY, Scope.MESSAGE, Scope.ACCOUNT),
    (403, "LIMIT_EXCEEDED", Action.HELD, "4.7.0", Blame.GATEWAY, Scope.ACCOUNT, None),
    (404, "NOT_FOUND", Action.HELD, "4.3.5", Blame.GATEWAY, Scope.ACCOUNT, None),
    (413, "", Action.DELAYED, "4.4.0", Blame.REMOTE, Scope.MESSAGE, None),
    (413, "OUT_OF_RANGE", Action.FAILED, "5.3.4", Blame.MESSAGE, Scope.MESSAGE, None),
    (429, "TOO_MANY_REQUESTS", Action.DELAYED, "4.4.5", Blame.REMOTE, Scope.API, None),
    (503, "SERVICE_UNAVAILABLE", Action.DELAYED, "4.4.5", Blame.REMOTE, Scope.MESSAGE, Scope.API),
    (503, "", Action.UNKNOWN, "4.4.5", Blame.REMOTE, Scope.MESSAGE, Scope.API),
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


@pytest.mark.parametrize("status", [402, 405, 406, 407, 408, 415, 418, 422, 431, 451, 499])
def test_a_4xx_that_nobody_has_seen_before_is_delayed(status):
    outcome = diagnose(answer(status, "SOMETHING_NEW"))
    assert (outcome.action, outcome.blame) == (Action.DELAYED, Blame.REMOTE)


@at_once
@pytest.mark.parametrize("says_when", [False, True], ids=["", "Retry-After"])
@pytest.mark.parametrize("code", ["", "SOMETHING"])
@pytest.mark.parametrize("status", range(500, 600))
def test_what_a_gateway_says_of_a_request_that_it_passed_on_is_unknown(status, code, says_when):
    """520 and the like come after the API had the message: sent again, it came 20 times in 20 s."""
    headers = {"retry_after": "7"} if says_when else {}
    outcome = diagnose(answer(status, code, "x" if code else "", **headers))
    certain = status in (501, 505) or (status == 503 and bool(code or says_when))
    assert outcome.action is (Action.DELAYED if certain else Action.UNKNOWN)
    assert (outcome.http_status, outcome.code) == (status, code)
    assert outcome.if_repeated is Scope.API


@pytest.mark.parametrize("headers", [{"retry_after": "soon"}, {"ratelimit_reset": "-1"}])
def test_a_503_that_does_not_say_when_is_unknown(headers):
    assert diagnose(answer(503, **headers)).action is Action.UNKNOWN


@pytest.mark.parametrize("status", [600, 999])
def test_a_status_beyond_all_classes_is_unknown(status):
    assert diagnose(answer(status)).action is Action.UNKNOWN


FAILURES = {
    Failure.NAME_UNKNOWN: Action.DELAYED,
    Failure.NOT_REACHED: Action.DELAYED,
    Failure.PROXY_NOT_REACHED: Action.DELAYED,
    Failure.PROXY_LOGIN: Action.DELAYED,
    Failure.PROXY_REFUSED: Action.DELAYED,
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


OWN = b'{"code": "INVALID_PARAMETER", "description": "subject must not be empty"}'
FOREIGN = {
    "nothing": b"",
    "a page": b"<html><body><h1>400 Bad Request</h1></body></html>",
    "text": b"Bad Request",
    "an array": b"[1]",
    "a string": b'"text"',
    "null": b"null",
    "no UTF-8": b"\xff\xfe",
    "a number for a code": b'{"code": 400, "description": "x"}',
    "a deep one": b"[" * 100_000,
    "a code of another form": b'{"code": "x y", "description": "x"}',
    "a code alone": b'{"code": "BAD_REQUEST"}',
    "a description alone": b'{"description": "x"}',
    "a description that is none": b'{"code": "BAD_REQUEST", "description": null}',
    "another API's": b'{"error": {"code": "BAD_REQUEST", "message": "no"}}',
    "another gateway's": b'{"message": "Bad Request", "request_id": "5f"}',
    "OAuth's": b'{"error": "invalid_request", "error_description": "x"}',
    "packed": gzip.compress(OWN),
    "in an array": b"[" + OWN + b"]",
    "cut": OWN[:-10],
    "two of them": OWN + OWN,
}


@at_once
@pytest.mark.parametrize("body", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("status", [400, 413])
def test_only_works_itself_refuses_a_message(status, body):
    """A proxy's page to everything bounced a whole queue."""
    outcome = diagnose(Answer(status, {}, body, whole=True))
    assert (outcome.action, outcome.cause) == (Action.DELAYED, Cause.FOREIGN)
    # One scan that a gateway finds too large is nobody else's trouble.
    assert (outcome.scope, outcome.if_repeated) == (Scope.MESSAGE, None)


@pytest.mark.parametrize("status", [400, 413])
def test_an_error_object_that_was_not_read_to_its_end_refuses_nothing(status):
    """What followed may have made it another one."""
    assert diagnose(Answer(status, {}, OWN, whole=True)).action is Action.FAILED
    assert diagnose(Answer(status, {}, OWN)).cause is Cause.FOREIGN


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
        ({"retry_after": "Monday, 01-Jan-01 00:00:00 GMT"}, 1.0),
        ({"retry_after": "Mon Jan  1 00:00:00 2001"}, 1.0),
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


COUNT = Answer(200, {}, b'{"count": 3}', whole=True)
WELL = [COUNT, answer(404, "NOT_FOUND", "Api not exists"), answer(405, "METHOD_NOT_ALLOWED", "x")]


@pytest.mark.parametrize("end", WELL, ids=lambda end: str(end.status))
def test_a_probe_that_works_says_upon_the_api_may_be_tried(end):
    """Where the API does not know the probe, only a message can tell: no account waits for ever."""
    assert diagnose_probe(end, "scanner") is None


PROBES = [
    (answer(401, "UNAUTHORIZED", "x"), Action.HELD, Scope.ACCOUNT, Cause.UNAUTHORIZED),
    (answer(403, "FORBIDDEN", "x"), Action.DELAYED, Scope.ACCOUNT, Cause.FORBIDDEN),
    (answer(429), Action.DELAYED, Scope.API, Cause.THROTTLED),
    (answer(500, "INTERNAL_SERVER_ERROR", "x"), Action.DELAYED, Scope.API, Cause.UNAVAILABLE),
    (answer(503, retry_after="9"), Action.DELAYED, Scope.API, Cause.UNAVAILABLE),
    (answer(520), Action.DELAYED, Scope.API, Cause.UNAVAILABLE),
    (answer(302), Action.DELAYED, Scope.API, Cause.UNAVAILABLE),
    (answer(202), Action.DELAYED, Scope.API, Cause.UNAVAILABLE),
    (answer(413), Action.DELAYED, Scope.API, Cause.FOREIGN),
    (answer(400), Action.DELAYED, Scope.API, Cause.FOREIGN),
    (Answer(200, {}, b"<html>log in</html>", whole=True), Action.DELAYED, Scope.API, Cause.UNAVAILABLE),
    (Answer(200, {}, b'{"count": 3}'), Action.DELAYED, Scope.API, Cause.UNAVAILABLE),
    (Answer(404, {}, b"<html>no</html>", whole=True), Action.HELD, Scope.ACCOUNT, Cause.NO_MAILBOX),
    (Failure.CUT_AFTER, Action.DELAYED, Scope.API, Cause.UNREACHABLE),
    (Failure.NO_ANSWER, Action.DELAYED, Scope.API, Cause.UNREACHABLE),
    (Failure.NOT_HTTP, Action.DELAYED, Scope.API, Cause.UNREACHABLE),
    (Failure.NO_GRANT, Action.HELD, Scope.ACCOUNT, Cause.NO_GRANT),
    (Failure.TOKEN_UNAVAILABLE, Action.DELAYED, Scope.ACCOUNT, Cause.AUTH_UNAVAILABLE),
]


@pytest.mark.parametrize(("end", "action", "scope", "cause"), PROBES)
def test_what_a_probe_finds_wrong(end, action, scope, cause):
    outcome = diagnose_probe(end, "scanner")
    assert (outcome.action, outcome.scope, outcome.cause) == (action, scope, cause)
    assert outcome.if_repeated is None
    assert "took the message" not in outcome.reason


@at_once
@pytest.mark.parametrize("end", [*Failure, *map(answer, range(200, 600))])
def test_a_probe_is_never_unknown_and_fails_nothing(end):
    outcome = diagnose_probe(end, "scanner")
    assert outcome.action in (Action.DELAYED, Action.HELD)
    assert outcome.scope is not Scope.MESSAGE


def documented(pattern):
    rows = [
        line.strip("| ").split(" | ") for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")
    ]
    return [[cell.strip() for cell in row] for row in rows if re.fullmatch(pattern, row[0])]


def test_the_document_says_what_the_table_does():
    rows = documented(r"\d{3}( [A-Z_]+)?(, of Works)?")
    assert {int(row[0][:3]) for row in rows} == {202, 400, 401, 403, 404, 413, 429, 500, 502, 503, 504}
    for row in rows:
        named, _, of_works = row[0].partition(", ")
        status, _, code = named.partition(" ")
        code = code or ("SOME_CODE" if of_works else "")
        outcome = diagnose(answer(int(status), code, "x" if of_works else ""))
        assert [outcome.action, outcome.status, outcome.reason] == [row[1], row[2], row[-1]]
    classes = {
        "another 2xx": [200, 204],
        "another 3xx": [302, 308],
        "another 4xx, 501, 505": [402, 418, 499, 501, 505],
        "another from 500 on": [507, 511, 520, 524, 599, 999],
    }
    for name, statuses in classes.items():
        ((_, *row),) = documented(re.escape(name))
        for status in statuses:
            outcome = diagnose(answer(status))
            assert [outcome.action, outcome.status, outcome.reason] == [row[0], row[1], row[-1]]
    failures = {row[0]: row for row in documented("[a-z ]+")}
    for failure in Failure:
        row = failures[failure.name.lower().replace("_", " ")]
        outcome = diagnose_failure(failure)
        assert [outcome.action, outcome.status, outcome.reason] == [row[1], row[2], row[-1]]
