"""What a reply says, as the backend reads it: the relay's own replies, by its own names."""

import pickle
import smtplib

import pytest

from relay import reply
from relay.django import RelayError, Verdict
from relay.django.backend import read_options
from relay.django.errors import read_failure, read_taken

ID = "1M8KABCDEFGH23456"


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        (reply.relayed(ID), Verdict.RELAYED),
        (reply.queued(ID), Verdict.QUEUED),
        (reply.held(ID), Verdict.HELD),
    ],
)
def test_every_reply_that_takes_a_message(said, verdict):
    """The room may not import the relay's replies: here they are held together."""
    assert read_taken(str(said)[4:].encode()) == (verdict, ID)


def test_another_servers_reply_is_taken_all_the_same():
    assert read_taken(b"2.0.0 Ok: queued as 4F00D") == (Verdict.QUEUED, "")


def test_a_refusal_after_the_content():
    said = reply.refused("5.6.4", "the loss reply-to is not wanted", ID)
    error = read_failure(smtplib.SMTPDataError(said.code, str(said)[4:].encode()), "relay", content_sent=True)
    assert (error.verdict, error.status, error.code, error.queue_id) == (Verdict.REFUSED, "5.6.4", 554, ID)
    assert error.reason.startswith("the loss reply-to is not wanted")
    assert not error.temporary


def test_a_refused_recipient_is_named():
    text = str(reply.RECIPIENT_NOT_ALLOWED)[4:].encode()
    error = read_failure(smtplib.SMTPRecipientsRefused({"a@example.net": (550, text)}), "relay")
    assert error.reason.startswith("a@example.net: mail to this domain")
    assert (error.status, error.temporary) == ("5.7.1", False)


@pytest.mark.parametrize(
    ("error", "content_sent", "verdict", "status"),
    [
        (smtplib.SMTPDataError(452, b"4.3.1 no room"), True, Verdict.NOT_TAKEN, "4.3.1"),
        (smtplib.SMTPSenderRefused(421, b"bye", "a@b.c"), False, Verdict.NOT_TAKEN, "4.0.0"),
        (smtplib.SMTPDataError(-1, b"rubbish"), True, Verdict.NOT_TAKEN, "4.0.0"),
        (smtplib.SMTPAuthenticationError(535, b"no"), False, Verdict.REFUSED, "5.0.0"),
        (smtplib.SMTPNotSupportedError("no STARTTLS"), False, Verdict.REFUSED, "5.3.3"),
        (ConnectionRefusedError(111, "Connection refused"), False, Verdict.NOT_TAKEN, "4.4.1"),
        (smtplib.SMTPServerDisconnected("closed"), False, Verdict.NOT_TAKEN, "4.4.1"),
        # Only here it may have been taken: nobody heard the reply.
        (smtplib.SMTPServerDisconnected("closed"), True, Verdict.UNKNOWN, "4.4.2"),
    ],
)
def test_every_way_to_fail(error, content_sent, verdict, status):
    found = read_failure(error, "relay:25", content_sent=content_sent)
    assert (found.verdict, found.status) == (verdict, status)
    assert found.temporary == (verdict is not Verdict.REFUSED)
    assert isinstance(found, smtplib.SMTPException)


def test_an_error_goes_to_another_process():
    """A task queue pickles it; an OSError with arguments of its own loses them, or cannot be read back."""
    error = pickle.loads(pickle.dumps(RelayError(Verdict.REFUSED, "5.7.1", "no", 550, ID)))
    assert (error.verdict, error.status, error.reason, error.code, error.queue_id) == (
        *(Verdict.REFUSED, "5.7.1", "no"),
        *(550, ID),
    )


def test_options_become_fields():
    attributes = {
        "subject": "…",
        "relay_tracking": True,
        "relay_save_sent": False,
        "relay_security_level": "confidential",
        "relay_id": "",
    }
    assert read_options(attributes, ("reply-to", "priority")) == {
        "X-Works-Tracking": "yes",
        "X-Works-Save-Sent": "no",
        "X-Works-Security-Level": "confidential",
        "X-Works-Fail-On-Loss": "reply-to, priority",
    }
    assert read_options({"relay_fail_on_loss": ()}, ("reply-to",)) == {}, "a message's own word comes first"


def test_an_option_that_there_is_not():
    """A slip of the pen would be no option at all, and nobody would notice."""
    with pytest.raises(AttributeError, match="relay_traking"):
        read_options({"relay_traking": True})
