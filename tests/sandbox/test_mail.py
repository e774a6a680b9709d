"""The send-mail call: what is accepted, and every rule that is not kept."""

import base64
import hashlib
import json
import os

import pytest

from relay.sandbox import Settings
from tests.support.sandbox import LOGIN, MAIL, running

PDF = {
    "data": base64.b64encode(b"%PDF-1.7").decode(),
    "filename": "見積書.pdf",
    "fileType": "application/pdf",
}


async def test_a_mail_is_accepted_with_202_and_no_body(works):
    answer = await works.send()
    assert (answer.status_code, answer.content) == (202, b"")
    (message,) = await works.accepted()
    assert (message["account"], message["user_id"]) == (LOGIN, "me")
    assert message["request"] == MAIL


async def test_every_property_of_the_documentation_is_taken(works):
    full = MAIL | {
        "cc": "b@example.com; c@example.com",
        "bcc": "d@example.com",
        "contentType": "html",
        "userName": "複合機",
        "isSaveSentMail": False,
        "isSaveTracking": False,
        "isSendSeparately": True,
        "securityLevel": "Non-business",
        "attachments": [PDF, PDF | {"cid": "logo1", "inline": True}],
    }
    assert (await works.send(full)).status_code == 202
    (message,) = await works.accepted()
    shown = {"size": 8, "sha256": hashlib.sha256(b"%PDF-1.7").hexdigest()}
    for number, attachment in enumerate(message["request"].pop("attachments")):
        assert attachment.pop("url") == f"/inbox/1/attachments/{number}"
        assert attachment.items() >= shown.items()
    del full["attachments"]
    assert message["request"] == full


BROKEN = {
    "to missing": ({"subject": "x"}, "MISSING_PARAMETER"),
    "to empty": (MAIL | {"to": ""}, "INVALID_PARAMETER"),
    "to of semicolons": (MAIL | {"to": " ; "}, "INVALID_PARAMETER"),
    "to without domain": (MAIL | {"to": "scanner"}, "INVALID_PARAMETER"),
    "to with a display-name": (MAIL | {"to": "A <a@example.com>"}, "INVALID_PARAMETER"),
    "to with a comma": (MAIL | {"to": "a@example.com, b@example.com"}, "INVALID_PARAMETER"),
    "to with an encoded-word": (MAIL | {"to": "=?utf-8?q?a?=@example.com"}, "INVALID_PARAMETER"),
    "to as a list": (MAIL | {"to": ["a@example.com"]}, "INVALID_PARAMETER"),
    "cc wrong": (MAIL | {"cc": "b@"}, "INVALID_PARAMETER"),
    "bcc null": (MAIL | {"bcc": None}, "INVALID_PARAMETER"),
    "subject missing": ({"to": "a@example.com"}, "MISSING_PARAMETER"),
    "subject empty": (MAIL | {"subject": ""}, "INVALID_PARAMETER"),
    "subject with a line break": (MAIL | {"subject": "a\r\nBcc: x@y.z"}, "INVALID_PARAMETER"),
    "userName empty": (MAIL | {"userName": ""}, "INVALID_PARAMETER"),
    "body a number": (MAIL | {"body": 1}, "INVALID_PARAMETER"),
    "contentType plain": (MAIL | {"contentType": "plain"}, "INVALID_PARAMETER"),
    "securityLevel unknown": (MAIL | {"securityLevel": "Secret"}, "INVALID_PARAMETER"),
    "a flag as a string": (MAIL | {"isSaveTracking": "false"}, "INVALID_PARAMETER"),
    "an unknown property": (MAIL | {"replyTo": "a@example.com"}, "INVALID_PARAMETER"),
    "attachments an object": (MAIL | {"attachments": {}}, "INVALID_PARAMETER"),
    "data missing": (MAIL | {"attachments": [{"filename": "a", "fileType": "a/b"}]}, "MISSING_PARAMETER"),
    "data empty": (MAIL | {"attachments": [PDF | {"data": ""}]}, "INVALID_PARAMETER"),
    "Base64 without padding": (MAIL | {"attachments": [PDF | {"data": "QQ"}]}, "INVALID_PARAMETER"),
    "Base64 with a line break": (MAIL | {"attachments": [PDF | {"data": "QUJD\nQUJD"}]}, "INVALID_PARAMETER"),
    "Base64 padded in the middle": (
        MAIL | {"attachments": [PDF | {"data": "QQ==Qg=="}]},
        "INVALID_PARAMETER",
    ),
    "Base64 of the URL kind": (MAIL | {"attachments": [PDF | {"data": "-_-_"}]}, "INVALID_PARAMETER"),
    "filename empty": (MAIL | {"attachments": [PDF | {"filename": ""}]}, "INVALID_PARAMETER"),
    "filename of 251": (MAIL | {"attachments": [PDF | {"filename": "a" * 251}]}, "OUT_OF_RANGE"),
    "filename of 126 emoji": (MAIL | {"attachments": [PDF | {"filename": "😀" * 126}]}, "OUT_OF_RANGE"),
    "fileType empty": (MAIL | {"attachments": [PDF | {"fileType": ""}]}, "INVALID_PARAMETER"),
    "cid in brackets": (MAIL | {"attachments": [PDF | {"cid": "<a>"}]}, "INVALID_PARAMETER"),
    "cid with its scheme": (MAIL | {"attachments": [PDF | {"cid": "cid:a"}]}, "INVALID_PARAMETER"),
    "inline without cid": (MAIL | {"attachments": [PDF | {"inline": True}]}, "MISSING_PARAMETER"),
    "an array": ([], "BAD_REQUEST"),
    "not JSON": (b"{", "BAD_REQUEST"),
    "nothing": (b"", "BAD_REQUEST"),
    "NaN": (b'{"to": NaN}', "BAD_REQUEST"),
    "a string without end": (b'{"to": "a', "BAD_REQUEST"),
    "not UTF-8": (b'{"to": "a@example.com", "subject": "\x93\xfa"}', "BAD_REQUEST"),
    "deep": (b"[" * 100_000, "BAD_REQUEST"),
    "half a surrogate": (b'{"to": "a@example.com", "subject": "\\ud800"}', "INVALID_PARAMETER"),
}


@pytest.fixture(scope="module", params=BROKEN, ids=str)
def broken(request):
    return BROKEN[request.param]


async def test_a_broken_rule_is_a_400_that_names_it(broken, works):
    mail, code = broken
    answer = await works.send(mail)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert answer.json()["description"]
    assert await works.accepted() == []


async def test_the_content_type_must_be_json(works):
    answer = await works.send(json.dumps(MAIL).encode(), headers={"content-type": "text/plain"})
    assert answer.json()["code"] == "BAD_REQUEST"


async def test_a_filename_of_250_and_a_long_list_and_a_long_subject_are_taken(works):
    """A subject over 180 is not refused; what is over is lost without a word."""
    many = "; ".join(f"recipient-{number:05}@example.com" for number in range(2000))
    named = PDF | {"filename": "a" * 246 + ".pdf"}
    mail = MAIL | {"to": many, "subject": "題" * 10_000, "attachments": [named]}
    assert (await works.send(mail)).status_code == 202
    (message,) = await works.accepted(fields="to,subject")
    assert message == {"to": many, "subject": "題" * 10_000}


async def test_large_attachments_arrive_whole():
    """5 MB each, one of them with the escaped slashes that PHP writes, odd lengths, all octets."""
    files = [os.urandom(5_000_001), os.urandom(5_000_002), os.urandom(4_999_998)]
    attachments = [PDF | {"data": base64.b64encode(file).decode()} for file in files]
    body = json.dumps(MAIL | {"body": 'a "quoted" \\ text\n' * 20_000, "attachments": attachments}).encode()
    head, last = body[:7_000_000], body[7_000_000:].replace(b"/", b"\\/")
    assert b"application\\/pdf" in last
    async with running() as works:
        assert (await works.send(head + last)).status_code == 202
        (message,) = await works.accepted()
        assert message["request"]["body"] == 'a "quoted" \\ text\n' * 20_000
        for number, file in enumerate(files):
            assert works.sandbox.attachment(1, number) == file


@pytest.mark.parametrize("at", [0, 1_000_000, -1])
async def test_base64_is_checked_to_its_end(works, at):
    data = bytearray(base64.b64encode(os.urandom(3_000_000)))
    data[at] = ord("?")
    answer = await works.send(MAIL | {"attachments": [PDF | {"data": data.decode()}]})
    assert answer.json()["description"] == "attachments[0].data is not Base64"


async def test_more_octets_than_the_limit_are_refused_and_leave_nothing_behind(tmp_path):
    settings = Settings(attachment_limit=1000)
    async with running(settings, state_dir=tmp_path) as works:
        half = PDF | {"data": base64.b64encode(b"a" * 501).decode()}
        assert (await works.send(MAIL | {"attachments": [half]})).status_code == 202
        answer = await works.send(MAIL | {"attachments": [half, half]})
        assert (answer.status_code, answer.json()["code"]) == (400, "LIMIT_EXCEEDED")
        answer = await works.send(b'"' + b"a" * 20_000_000 + b'"')
        assert (answer.status_code, answer.json()["code"]) == (400, "LIMIT_EXCEEDED")
        await works.send(MAIL | {"attachments": [PDF, PDF | {"data": "?"}]})
        found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
        assert found == ["messages/1/0", "messages/1/request.json"]


async def test_an_oversized_mail_can_be_a_system_error():
    """As the older API answered it: a 500 can be permanent."""
    async with running(Settings(attachment_limit=3, oversize_as_500=True)) as works:
        answer = await works.send(MAIL | {"attachments": [PDF]})
        assert (answer.status_code, answer.json()["code"]) == (500, "INTERNAL_SERVER_ERROR")


async def test_a_blocked_extension_is_refused():
    async with running(Settings(blocked_extensions=("exe",))) as works:
        answer = await works.send(MAIL | {"attachments": [PDF | {"filename": "a.EXE"}]})
        assert answer.status_code == 400


async def test_only_external_addresses_count_against_the_500(works):
    inside = "; ".join(f"{number}@example.com" for number in range(600))
    outside = "; ".join(f"{number}@example.net" for number in range(501))
    assert (await works.send(MAIL | {"to": inside})).status_code == 202
    answer = await works.send(MAIL | {"bcc": outside})
    assert (answer.status_code, answer.json()["code"]) == (400, "LIMIT_EXCEEDED")


async def test_the_oldest_whole_messages_make_room_and_the_counts_stay():
    async with running(Settings(keep=2, mails_per_minute=0)) as works:
        for number in range(5):
            await works.send(MAIL | {"subject": str(number)})
        assert [one["request"]["subject"] for one in await works.accepted()] == ["3", "4"]
        assert [one["subject"] for one in await works.accepted(fields="subject")] == list("01234")
        assert [one["id"] for one in await works.accepted(fields="id", after=3)] == [4, 5]
        counts = (await works.http.get("/sandbox/counts")).json()
        assert (counts["accepted"], counts["by_account"]) == (5, {LOGIN: 5})
        assert (await works.http.get("/sandbox/messages/4")).json()["subject"] == "3"
        assert (await works.http.get("/sandbox/messages/1")).status_code == 404
        for wrong in ("fields=secret", "after=x", "after=-1", "after=²"):
            assert (await works.http.get(f"/sandbox/messages?{wrong}")).status_code == 400
        await works.http.delete("/sandbox/messages")
        assert await works.accepted(fields="id") == []


async def test_summaries_alone_are_kept_for_load(tmp_path):
    async with running(Settings(keep=0), state_dir=tmp_path) as works:
        assert (await works.send(MAIL | {"attachments": [PDF]})).status_code == 202
        assert (await works.send(MAIL | {"attachments": [PDF | {"data": "?"}]})).status_code == 400
        assert await works.accepted() == []
        assert [one["to"] for one in await works.accepted(fields="to")] == ["a@example.com"]
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(tmp_path):
    async with running(state_dir=tmp_path) as works:

        async def half():
            yield b'{"to": "' + b"a" * 200_000
            raise ConnectionAbortedError

        with pytest.raises(ConnectionAbortedError):
            await works.http.post(
                "/v1.0/users/me/mail",
                content=half(),
                headers={
                    "authorization": f"Bearer {works.token}",
                    "content-type": "application/json",
                    "content-length": "1000000",
                },
            )
        while works.sandbox.counts()["in_flight"]:
            await works.http.get("/sandbox/counts")
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
        assert works.sandbox.counts()["accepted"] == 0
