"""Where the browser comes back to, and what it brings."""

import socket
import threading
import time
from urllib.parse import urlencode

import pytest

from relay.works.auth.consent import ConsentError, read_redirect
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
