"""A converting process that was taken over: it can do nothing, and nothing that it says is believed.

It is played by programs in its place. Those that try something have confined themselves as the real one does.
"""

import base64
import json
import os
import struct
import subprocess
import sys

import pytest

from relay.conversion.answer import Asked, NoAnswerError, read_answer
from relay.conversion.pool import ConversionError, Converter
from relay.conversion.process import start
from relay.envelope import Content
from relay.host.content import ContentWriter
from relay.mail import Conversion, Unconvertible
from relay.message import convert, make_requests
from tests.support.converter import FIELDS, HOW, TO, make_scan

SCAN = make_scan(100_000)

# Tries something, and sends what came of it as the body of the mail.
TRIES = """
import sys; sys.path[:] = sys.argv[2:]
import os, json, ctypes, socket, resource
from relay.conversion import child
call = ctypes.CDLL(None, use_errno=True)
def check(result):
    if result < 0: raise OSError(ctypes.get_errno(), "failed")
def answer(question, content):
    try:
        exec(sys.argv[1], globals())
        came = "succeeded"
    except BaseException as error:
        came = type(error).__name__
    made = came.encode()
    told = {"subject": "x", "body": len(made), "html": False, "user_name": "", "to": [], "cc": [],
            "files": [], "losses": [], "options": [None] * 4, "rest": None}
    return json.dumps(told).encode(), [made]
child.answer = answer
os.read(0, 1)
child.main()
"""
# The kernel sends a signal to whoever owns the socket when something arrives. None of the three succeeds.
BY_INPUT = """
import fcntl
for asked in ((fcntl.F_SETOWN, PARENT), (fcntl.F_SETSIG, 9), (fcntl.F_SETFL, fcntl.FASYNC)):
    try: fcntl.fcntl(0, *asked)
    except PermissionError as error: refused = error
    else: break
else: raise refused
"""
ATTEMPTS = {
    "fork": "os.fork()",
    "fork-raw": "check(call.syscall(57))",
    "run": "os.execv('/bin/true', ['true'])",
    "spawn": "os.posix_spawn('/bin/true', ['true'], {})",
    "write": "open('/tmp/of-the-converter', 'w')",
    "write-beside": "open(os.path.dirname(child.__file__) + '/planted.py', 'w')",
    "append": "open(child.__file__, 'a')",
    "truncate": "os.truncate(child.__file__, 0)",
    "read": "open('/etc/passwd').read()",
    "read-proc": "open(f'/proc/{PARENT}/environ').read()",
    "read-memory": "open(f'/proc/{PARENT}/mem', 'rb')",
    "list": "os.listdir('/etc')",
    "remove": "os.unlink('/tmp/not-there')",
    "rename": "os.rename(child.__file__, child.__file__ + 'x')",
    "link": "os.symlink('/etc/passwd', '/tmp/link-of-the-converter')",
    "connect": "socket.socket().connect(('127.0.0.1', 9))",
    "listen": "socket.create_server(('127.0.0.1', 0))",
    "signal": "os.kill(PARENT, 0)",
    "signal-by-input": BY_INPUT,
    "trace": "check(call.ptrace(16, PARENT, 0, 0))",
    "peek": "check(call.process_vm_readv(PARENT, None, 0, None, 0, 0))",
    "limits": "resource.prlimit(PARENT, resource.RLIMIT_NOFILE, (3, 3))",
    "memory": "bytearray(1 << 30)",
    "shell": "check(-1 if os.system('true') else 0)",
}

# Speaks the protocol by itself, and answers with the octets that it was given.
SAYS = """
import os, socket, struct, sys
os.read(0, 1)
it = socket.socket(fileno=0)
it.sendall(b"+")
while True:
    head = it.recv(4)
    if not head: break
    it.recv(struct.unpack("!I", head)[0], socket.MSG_WAITALL)
    octets = bytes.fromhex(sys.argv[1])
    it.sendall(octets)
    while sys.argv[2]: it.sendall(octets)
"""


@pytest.fixture
def content(tmp_path):
    writer = ContentWriter(tmp_path, threshold=0)
    writer.write(SCAN)
    return writer.finish()


async def convert_by(program, content, *arguments):
    converter = Converter(lambda: start([sys.executable, "-I", "-c", program, *arguments]))
    try:
        return await converter.convert(content, TO, HOW)
    finally:
        await converter.stop()


@pytest.fixture(scope="module")
def confined():
    """Whether this machine's kernel confines at all."""
    program = (
        "import sys; from relay.conversion.child import enter_confinement; sys.exit(not enter_confinement())"
    )
    if subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode:
        pytest.skip("this kernel has neither Landlock nor seccomp")


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
async def test_it_can_do_nothing(confined, content, attempt):
    attempt = attempt.replace("PARENT", str(os.getpid()))
    converted = await convert_by(TRIES, content, attempt, *sys.path)
    body = json.loads(b"".join(converted.requests[0].payload.blocks(SCAN)))
    assert body["body"] in {"PermissionError", "MemoryError", "OSError", "BlockingIOError"}
    assert body["to"] == TO[0]


def told(**changes) -> bytes:
    answer = {
        "subject": "x",
        "body": 0,
        "html": False,
        "user_name": "",
        "to": [0],
        "cc": [],
        "files": [],
        "losses": [],
        "options": [None] * 4,
        "rest": None,
    }
    return json.dumps({**answer, **changes}).encode()


def file(source, name="a", size=1):
    return [[name, "a/b", source, size, "", False]]


SIZE = len(SCAN)
LIES = {
    "no json": b"\0\xff\xfe",
    "a pickle": b"cposix\nsystem\n(S'touch /tmp/of-the-converter'\ntR.",
    "not an object": b"[]",
    "nothing": b"{}",
    "deep": b"[" * 100_000,
    "another recipient": told(to=["evil@example.com"]),
    "a number of no recipient": told(to=[1]),
    "a negative number": told(to=[-1]),
    "a truth for a number": told(to=[True]),
    "the same recipient often": told(to=[0] * 1000),
    "a range behind the content": told(files=file([[SIZE, SIZE + 1, "8bit", 0]])),
    "a range before the content": told(files=file([[-1, 1, "8bit", 0]])),
    "a range that runs back": told(files=file([[2, 1, "8bit", 0]])),
    "a clean end behind the end": told(files=file([[0, 1, "base64", 2]])),
    "an unknown encoding": told(files=file([[0, 1, "x-uuencode", 0]])),
    "the content a thousand times": told(files=file([[0, SIZE, "8bit", 0]] * 1000, size=SIZE * 1000)),
    "a huge number": told(files=file([[0, 1, "8bit", 0]], size=10**30)),
    "an endless number": told(body=0).replace(b'"body": 0', b'"body": 1e400'),
    "a number with a point": told(body=0.0),
    "octets that did not come": told(body=1),
    "a size that is not the octets'": told(files=file(0, size=5)),
    "another codec": told(rest=[0, 1, 1, "zlib"]),
    "a rest behind the content": told(rest=[0, SIZE + 1, 1, "utf-8"]),
    "a long name": told(files=file([[0, 1, "8bit", 0]], name="a" * 5000)),
    "a file without a name": told(files=file([[0, 1, "8bit", 0]], name="")),
    "another loss": told(losses=[["evil", "x", ""]]),
    "another status": json.dumps({"status": "2.0.0", "reason": "x"}).encode(),
    "a status that is none": json.dumps({"status": [], "reason": "x"}).encode(),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_what_is_no_answer_is_not_believed(lie):
    with pytest.raises(NoAnswerError):
        read_answer(lie, b"", Asked(SIZE, TO))


ANSWERS = """
import sys; sys.path[:] = sys.argv[2:]
import os
from relay.conversion import child
child.answer = lambda question, content: (sys.argv[1].encode(), [])
os.read(0, 1)
child.main()
"""
UNKNOWN = (
    FIELDS.replace(b"From: ", b"From: Scanner ") + b"\r\n" + b"\xe9\r\n"
)  # of no known charset: not inline


async def test_what_the_configuration_decides_no_process_does():
    """It named the sender as it liked, and chose options that no message of this listener may choose."""
    lie = told(user_name="CEO <ceo@example.com>", options=["Confidential", False, True, True])
    converter = Converter(lambda: start([sys.executable, "-I", "-c", ANSWERS, lie.decode(), *sys.path]))
    try:
        for how, name in (
            (Conversion(user_name="Reception"), "Reception"),
            (Conversion(own_name_only=True), ""),
            (Conversion(), "CEO <ceo@example.com>"),
        ):
            converted = await converter.convert(Content(len(UNKNOWN), "", data=UNKNOWN), TO, how)
            body = json.loads(b"".join(converted.requests[0].payload.blocks(UNKNOWN)))
            assert body.get("userName", "") == name
            assert (body["isSaveSentMail"], body["isSendSeparately"]) == (True, False)
            assert "securityLevel" not in body
    finally:
        await converter.stop()


def test_names_are_cleaned_again():
    """They stand in other people's mail programs: no folders, no controls."""
    lie = told(subject="a\r\nb", files=file([[0, 1, "8bit", 0]], name="../../evil\u202egpj.exe"))
    mail = read_answer(lie, b"", Asked(SIZE, TO))
    assert (mail.subject, mail.attachments[0].filename) == ("a b", "evilgpj.exe")


def test_octets_beyond_the_answer_are_none():
    with pytest.raises(NoAnswerError):
        read_answer(told(), b"x", Asked(SIZE, TO))


def test_a_refusal_is_one_line():
    with pytest.raises(Unconvertible) as refused:
        read_answer(json.dumps({"status": "5.6.0", "reason": "a\r\n250 OK"}).encode(), b"", Asked(1, TO))
    assert refused.value.reason == "a 250 OK"


@pytest.mark.parametrize(
    ("head", "goes_on"),
    [
        (struct.pack("!II", 0xFFFFFFFF, 0), "x"),
        (struct.pack("!II", 2, 0xFFFFFFFF) + b"{}", "x"),
        (struct.pack("!II", 2, 0) + b"{}", ""),
        (struct.pack("!II", 2, 0) + b"{}", "x"),
        (b"\xff", "x"),
    ],
    ids=["endless json", "endless octets", "nothing", "garbage behind it", "garbage"],
)
async def test_what_no_process_answers_is_not_sent(content, head, goes_on):
    """The message waits, and is not read by the relay itself."""
    with pytest.raises(ConversionError):
        await convert_by(SAYS, content, head.hex(), goes_on)


def test_base64_that_is_none_does_not_leave():
    """Valid Base64 goes into the request as it stands: another process's word for it must not do."""
    evil = b'","data":"x"}],"to":"evil@example.com'
    message = SCAN + evil
    at = message.index(evil)
    lie = told(files=file([at, at + len(evil), "base64", at + len(evil)], size=3 * len(evil) // 4))
    mail = read_answer(lie, b"", Asked(len(message), TO))
    data = mail.attachments[0]
    payload = make_requests(mail, TO, HOW).requests[0].payload
    with pytest.raises(ValueError, match="Base64"):
        b"".join(payload.blocks(message))
    assert data.size


def test_a_relay_in_the_working_directory_is_not_run(content, tmp_path):
    """`sudo relay serve` and `sudo relay send` ran it as root."""
    place = tmp_path / "hostile"
    (place / "relay").mkdir(parents=True)
    planted = f"open({str(tmp_path / 'ran')!r}, 'w').close()"
    for name in ("relay/__init__.py", "chardet.py", "json.py", "encodings.py", "pybase64.py"):
        (place / name).write_text(planted)
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, asyncio; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path\n"
        "from relay.conversion.pool import Converter\n"
        "from relay.envelope import Content\n"
        "from tests.support.converter import HOW, TO\n"
        "async def main():\n"
        "    converter = Converter()\n"
        "    path = Path(sys.argv[1])\n"
        "    done = await converter.convert(Content(path.stat().st_size, '', path=path), TO, HOW)\n"
        "    await converter.stop()\n"
        "    print([loss.loss for loss in done.losses])\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, program, content.path, *filter(None, sys.path)],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "unreadable" not in done.stdout
    assert not (tmp_path / "ran").exists()


def test_base64_of_a_scan_is_still_passed_on_as_it_is():
    body = json.loads(b"".join(convert(SCAN, TO, HOW).requests[0].payload.blocks(SCAN)))
    assert len(base64.b64decode(body["attachments"][0]["data"])) == 100_000
