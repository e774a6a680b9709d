"""Golden pairs: NAME.eml is what was sent, NAME.json what it becomes. `pytest --bless` rewrites the latter.

`compose.py` writes the messages; a change of a JSON file is read before it is committed.
"""

import json

import pytest

from relay.mail import Conversion, Unconvertible
from relay.message import convert, destinations
from tests.support import ROOT
from tests.support.at_once import at_once

MESSAGES = sorted((ROOT / "tests" / "golden").glob("*.eml"))
CONVERSION = Conversion(account_address="", attachment_limit=100_000)


def explain(content: bytes) -> dict:
    paths = [one.addr_spec for one in destinations(content)]
    try:
        converted = convert(content, paths, CONVERSION)
    except Unconvertible as refused:
        return {"error": {"status": refused.status, "reason": refused.reason}}
    (request,) = converted.requests
    assert sum(map(len, request.payload.blocks(content))) == request.payload.length
    losses = [[loss.loss, loss.detail, *filter(None, [loss.added])] for loss in converted.losses]
    return {"request": json.loads(b"".join(request.payload.describe(content))), "losses": losses}


def test_there_are_enough():
    assert len(MESSAGES) >= 150


@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: path.stem)
def test_golden(path, request):
    content = path.read_bytes()
    found = explain(content)
    expected = path.with_suffix(".json")
    if request.config.getoption("--bless"):
        expected.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    assert found == json.loads(expected.read_text(encoding="utf-8"))


@at_once
@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: path.stem)
def test_line_ends_make_no_difference(path):
    """Lines of LF are understood as lines of CRLF are; only the octets of files differ."""
    content = path.read_bytes()
    assert without_sizes(explain(content.replace(b"\r\n", b"\n"))) == without_sizes(explain(content))


def without_sizes(found: dict) -> dict:
    """What is left without the octets of files: lines that were not encoded end in them as they came."""
    for one in found.get("request", {}).get("attachments", []):
        del one["size"], one["sha256"]
    return found
