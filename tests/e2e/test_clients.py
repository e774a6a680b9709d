"""Real clients, through the whole relay."""

import asyncio
import hashlib
import shutil
import smtplib
from email.message import EmailMessage

import pytest

PDF = b"%PDF-1.4\n" + bytes(range(256)) * 40


def needs(program):
    reason = f"NOT TESTED: install Debian's {program} to run this client against the relay"
    return pytest.mark.skipif(shutil.which(program) is None, reason=reason)


async def run(*arguments, stdin=b""):
    process = await asyncio.create_subprocess_exec(
        *map(str, arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(stdin), 30)
    return process.returncode, output.decode("utf-8", "replace")


def digest(octets):
    return hashlib.sha256(octets).hexdigest()


@needs("swaks")
async def test_swaks(whole, tmp_path):
    """To, Cc and Bcc come out where they belong, and the file whole."""
    pdf = tmp_path / "scan.pdf"
    pdf.write_bytes(PDF)
    host, port = whole.smtp
    code, output = await run(
        *("swaks", "--server", f"{host}:{port}", "--from", "scanner@example.com"),
        # Debian's swaks has no --cc and --bcc: the envelope names all, the fields two of them.
        *("--to", "a@example.com,b@example.com,c@example.com"),
        *("--h-To", "a@example.com", "--h-Cc", "b@example.com", "--h-Subject", "from swaks"),
        *("--attach-type", "application/pdf", "--attach", f"@{pdf}"),
    )
    assert code == 0, output
    assert "250 2.0.0 relayed, id=" in output
    request = whole.last()
    assert (request["to"], request["cc"], request["bcc"]) == (
        "a@example.com",
        "b@example.com",
        "c@example.com",
    )
    assert request["subject"] == "from swaks"
    (attachment,) = request["attachments"]
    assert attachment["filename"] == "scan.pdf"
    assert attachment["sha256"] == digest(PDF)


@needs("msmtp")
async def test_msmtp(whole):
    host, port = whole.smtp
    message = "From: scanner@example.com\nTo: a@example.com\nSubject: 報告\n\n本文\n".encode()
    code, output = await run(
        *("msmtp", f"--host={host}", f"--port={port}", "--from=scanner@example.com", "--read-recipients"),
        stdin=message,
    )
    assert code == 0, output
    request = whole.last()
    assert (request["to"], request["subject"], request["body"].strip()) == ("a@example.com", "報告", "本文")
    assert request["contentType"] == "text"


@needs("curl")
async def test_curl(whole, tmp_path):
    """curl sends the file as it is: bare LF throughout."""
    mail = tmp_path / "mail.eml"
    mail.write_bytes(
        b"From: scanner@example.com\nTo: b@example.com\nSubject: curl\n\n.one\n..two\n.\nthree\n"
    )
    host, port = whole.smtp
    code, output = await run(
        *("curl", "-sS", f"smtp://{host}:{port}", "--mail-from", "a@example.com"),
        *("--mail-rcpt", "b@example.com", "-T", mail),
    )
    assert code == 0, output
    assert whole.last()["body"].rstrip().splitlines() == [".one", "..two", ".", "three"]


async def test_smtplib(whole):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "ERP <erp@example.com>", "a@example.com", "청구서"
    message.set_content("안녕하세요")
    message.add_alternative("<p>안녕하세요</p>", subtype="html")
    message.add_attachment(PDF, maintype="application", subtype="pdf", filename="청구서 11월.pdf")

    def send():
        with smtplib.SMTP(*whole.smtp, timeout=20) as client:
            client.send_message(message, to_addrs=["a@example.com", "hidden@example.com"])

    await asyncio.to_thread(send)
    request = whole.last()
    assert (request["to"], request["bcc"]) == ("a@example.com", "hidden@example.com")
    assert "cc" not in request
    assert request["subject"] == "청구서"
    assert request["userName"] == "ERP"
    assert "<p>안녕하세요</p>" in request["body"]
    assert request["attachments"][0]["filename"] == "청구서 11월.pdf"
    assert request["attachments"][0]["sha256"] == digest(PDF)
