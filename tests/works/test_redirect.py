"""Where the browser comes back to, and what it brings."""

import errno
import socket
import threading
import time
from urllib.parse import urlencode

import pytest

from relay.works.auth import redirect
from relay.works.auth.consent import AuthorizationRequest, ConsentError, read_redirect
from relay.works.auth.redirect import RedirectServer
from tests.support.ports import free_port


def test_the_redirect_urls_host_must_be_this_machine():
    for url in (
        "https://relay.example.com/callback",
        "http://192.0.2.1:8484/callback",
        "https://localhost:1/x",
    ):
        with pytest.raises(ConsentError, match="--paste"), RedirectServer(url, "s").running():
            pass


def test_a_port_in_use_is_a_sentence_with_both_remedies():
    """It said "…; or use --paste", and the first half was missing."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(ConsentError) as caught,
            RedirectServer(f"http://localhost:{port}/", "s").running(),
        ):
            pass
    why = f"cannot listen on 127.0.0.1:{port} (Address already in use)"
    assert str(caught.value) == f"{why}; free this port, or use --paste"


def test_an_address_of_localhost_that_a_stranger_has_is_an_error():
    """A stranger held [::1]: the relay listened on 127.0.0.1 alone, and the browser brought him the code."""
    port = free_port()
    try:
        taken = socket.create_server(("::1", port), family=socket.AF_INET6)
    except OSError:
        pytest.skip("NOT TESTED: this machine has no IPv6")
    with (
        taken,
        pytest.raises(ConsentError, match=rf"cannot listen on ::1:{port} \(Address already in use\)"),
        RedirectServer(f"http://localhost:{port}/", "s").running(),
    ):
        pass


def test_an_address_that_the_machine_has_not_is_left_out(monkeypatch):
    """A machine without IPv6 has 127.0.0.1 alone, and a login works there."""
    create = redirect._Server.__init__

    def without_ipv6(self, address, *more):
        if ":" in address:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        create(self, address, *more)

    monkeypatch.setattr(redirect._Server, "__init__", without_ipv6)
    port = free_port()
    with (
        RedirectServer(f"http://localhost:{port}/", "s").running(),
        socket.create_connection(("127.0.0.1", port)),
    ):
        pass


def test_the_challenge_is_that_of_the_standards_example():
    """RFC 7636 appendix B."""
    request = AuthorizationRequest("state", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    assert request.challenge == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    assert "dBjft" not in repr(request)
    one, other = AuthorizationRequest.make(), AuthorizationRequest.make()
    assert one.state != other.state
    assert 43 <= len(one.verifier) <= 128  # RFC 7636 §4.1
    assert one.verifier != other.verifier


HOST = "localhost:8484"


def make_server():
    return RedirectServer(f"http://{HOST}/callback", "s", "https://auth.example/authorize?state=s")


def test_the_page_is_one_browsers():
    """Its address stands in a command line: whoever else follows it ends the login, and learns no state."""
    server = make_server()
    path = server.page_url.removeprefix(f"http://{HOST}")
    first = server.receive(path, HOST)
    headers = dict(first.headers)
    assert (first.status, headers["Location"]) == (303, "https://auth.example/authorize?state=s")
    cookie = headers["Set-Cookie"].partition(";")[0]
    assert server.receive(path, HOST, f"other=1; {cookie}").status == 303  # the browser's own Back
    stranger = server.receive(path, HOST, "relay_login=guess")
    assert (stranger.status, stranger.headers) == (403, ())
    with pytest.raises(ConsentError, match="two programs"):
        server.wait(1)


def test_a_page_of_another_token_is_nothing():
    server = make_server()
    assert server.receive("/login/guess", HOST).status == 404
    assert server.receive("/login/", HOST).status == 404


@pytest.mark.parametrize(
    "host", ["", "evil.example", "evil.example:8484", "localhost", "localhost:80", "127.0.0.1:8484"]
)
def test_another_host_is_answered_with_nothing(host):
    """A page elsewhere may lead here under its own name (DNS rebinding)."""
    server = make_server()
    for target in ("/callback?state=s&code=c", server.page_url.removeprefix(f"http://{HOST}")):
        page = server.receive(target, host)
        assert (page.status, page.headers) == (421, ())
    with pytest.raises(ConsentError, match="nobody consented"):
        server.wait(0.01)
    assert server.receive("/callback?state=s&code=c", HOST.upper()).status == 200
    assert server.wait(1) == "c"


def test_the_server_leaves_nothing_behind():
    before = threading.active_count()
    port = free_port()
    for _ in range(3):
        with RedirectServer(f"http://localhost:{port}/callback", "s").running():
            pass
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_a_code_is_found_wherever_the_url_carries_it():
    state = "abc"
    url = "http://localhost:8484/callback?" + urlencode({"state": state, "code": "a+b/c="})
    assert read_redirect(url, state) == "a+b/c="
    with pytest.raises(ConsentError):
        read_redirect("justacode", state)
    assert read_redirect("justacode", state, bare_code=True) == "justacode"
    with pytest.raises(ConsentError, match="no code"):
        read_redirect("http://localhost/callback?state=abc", state)
    with pytest.raises(ConsentError):
        read_redirect("http://localhost/callback?state=\u3042&code=x", state)
