"""Who stands where: the envelope decides who gets it, the fields only where each is shown."""

import pytest

from relay.mail import Address, Conversion
from relay.message.recipients import Recipients


def addresses(*specs: str) -> tuple[Address, ...]:
    return tuple(Address("", spec) for spec in specs)


def place(to, cc, envelope, **options):
    return Recipients(envelope).assign(addresses(*to), addresses(*cc), Conversion(**options))


def test_fields_and_envelope_meet():
    (one,) = place(["a@x", "z@x"], ["b@x"], ["c@x", "b@x", "a@x"])
    assert (one.to, one.cc, one.bcc) == (("a@x",), ("b@x",), ("c@x",))
    assert set(one.serves) == {"a@x", "b@x", "c@x"}


def test_domains_without_case_and_idna():
    (one,) = place(["A@Example.COM", "b@例え.jp"], [], ["A@example.com", "b@xn--r8jz45g.jp"])
    assert one.to == ("A@example.com", "b@xn--r8jz45g.jp")
    assert not one.bcc


def test_one_mailbox_whatever_the_case():
    """Two spellings of one mailbox in an envelope were two copies."""
    (one,) = place(["Kimura@x"], [], ["kimura@x"])
    assert one.to == ("kimura@x",)
    (one,) = place(["KIMURA@x"], [], ["kimura@x", "Kimura@X", '"KIMURA"@x', "b@x"])
    assert (one.to, one.bcc) == (("kimura@x",), ("b@x",))
    assert sorted(one.serves) == sorted(["kimura@x", "Kimura@X", '"KIMURA"@x', "b@x"])
    (one,) = place([], [], ["kimura@x", "Kimura@x"])
    assert (one.to, one.separately) == (("kimura@x",), False)


def test_only_in_a_field_receives_nothing():
    (one,) = place(["a@x", "nobody@x"], ["nobody2@x"], ["a@x"])
    assert (one.to, one.cc, one.bcc) == (("a@x",), (), ())


def test_no_to_in_the_envelope_but_cc():
    """dma opens one transaction for each recipient, each with the full fields."""
    (one,) = place(["a@x"], ["b@x"], ["b@x"])
    assert (one.to, one.cc) == (("b@x",), ())


def test_nothing_but_bcc():
    (one,) = place(["list@x"], [], ["a@x"])
    assert one.to == ("a@x",)
    assert not one.separately
    (one,) = place([], [], ["a@x", "b@x"])
    assert one.to == ("a@x", "b@x")
    assert one.separately
    (one,) = place([], [], ["a@x", "b@x"], bcc_only_to_account=True, account_address="me@x")
    assert (one.to, one.bcc, one.separately) == (("me@x",), ("a@x", "b@x"), False)


def test_a_recipient_twice_in_the_envelope_is_served_once():
    (one,) = place(["a@x"], [], ["a@x", "a@x"])
    assert one.to == ("a@x",)
    assert one.serves == ("a@x", "a@x")


@pytest.mark.parametrize("most", [1, 2, 3, 7, 500])
@pytest.mark.parametrize("shown", [(0, 0), (1, 0), (0, 1), (3, 2), (9, 9)])
def test_every_recipient_once_however_many_requests(most, shown):
    envelope = [f"u{number}@x" for number in range(20)]
    to, cc = envelope[: shown[0]], envelope[10 : 10 + shown[1]]
    requests = place(to, cc, envelope, recipients_per_mail=most)
    reached = [path for one in requests for path in (*one.to, *one.cc, *one.bcc)]
    assert sorted(reached) == sorted(envelope)
    assert sorted(path for one in requests for path in one.serves) == sorted(envelope)
    for one in requests:
        assert 0 < len(one.to) + len(one.cc) + len(one.bcc) <= most
        assert one.to
        hidden = set(envelope) - set(to) - set(cc)
        # Whoever was hidden stands in `to` only alone or with a message of his own.
        assert not hidden.intersection(one.to) or len(one.to) == 1 or one.separately
        assert not hidden.intersection(one.cc)


def test_no_recipient_at_all():
    (one,) = place(["a@x"], [], [])
    assert one.to == ()
