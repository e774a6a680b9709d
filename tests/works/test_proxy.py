"""The way out through a proxy: tokens and mail by one that works, and no harm by one that does not."""

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from relay.console.server import serving
from relay.operator import reach
from relay.outcome import Action
from relay.sandbox import Sandbox
from relay.spool import State
from relay.works.auth.authorizer import Authorizer
from relay.works.auth.files import GrantFiles
from relay.works.auth.oauth import AuthServer
from relay.works.client import Client
from relay.works.http.post import PostError, post_json
from relay.works.http.proxy import Proxy
from tests.support.proxy import ESTABLISHED, LOGIN_WANTED, ProxyPeer, make_tls, pipe
from tests.support.relay import relaying, until
from tests.support.works import (
    ACCEPTED,
    ACCOUNT,
    FAST,
    Peer,
    content_of,
    grant_of,
    keeping,
    mail,
    works_at,
)

LOGIN = "relay:p@ss wörd/1"
IN_URL = "relay:p%40ss%20w%C3%B6rd%2F1@"


@asynccontextmanager
async def works_over_tls(folder):
    """A simulated Works behind TLS: its port, itself, and a client's context."""
    server, client = make_tls(folder)
    sandbox = Sandbox()
    async with serving(sandbox.app) as http:
        inner = urlsplit(http.url)

        async def front(_, reader, writer):
            there, out = await asyncio.open_connection(inner.hostname, inner.port)
            await asyncio.gather(pipe(reader, out), pipe(there, writer))

        async with Peer(front).running(ssl=server) as peer:
            yield SimpleNamespace(port=peer.port, sandbox=sandbox, tls=client)
    sandbox.close()


async def test_tokens_and_mail_go_through_the_proxy(tmp_path):
    async with works_over_tls(tmp_path) as works, ProxyPeer(login=LOGIN).running() as proxy:
        url = f"https://localhost:{works.port}"
        app = works_at(
            0,
            api_url=f"{url}/v1.0",
            auth_url=f"{url}/oauth2/v2.0",
            proxy=SecretStr(f"http://{IN_URL}127.0.0.1:{proxy.port}"),
        )
        grant = grant_of(works.sandbox.issue_grant("scanner@example.com"), expires_at=0.0)
        GrantFiles(tmp_path).write("scanner", grant)
        authorizer = Authorizer(AuthServer(app, works.tls), keeping(tmp_path))
        client = Client(app, authorizer, timeouts=FAST, tls=works.tls)
        for _ in range(2):
            outcome = await client.send(ACCOUNT, mail(), content_of())
            assert outcome.action is Action.RELAYED, outcome
        await client.aclose()
        await authorizer.aclose()
        assert len(works.sandbox.messages) == 2
    # One for the tokens, one for both messages.
    assert [head.split()[:2] for head in proxy.requests] == [[b"CONNECT", b"localhost:%d" % works.port]] * 2


async def answer_as_works(peer, reader, writer):
    while True:
        await peer.read_request(reader)
        writer.write(ACCEPTED)


REFUSED = b'HTTP/1.1 403 Forbidden\r\n\r\n{"code": "INVALID_PARAMETER", "description": "no"}'
UNREACHED = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
FOR_WORKS = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
# What the proxy says; the outcome's reason; what `relay check` says (one of, by the moment of the close).
FAULTS = {
    "wants a login": (LOGIN_WANTED, "does not take the login", "does not take this user and password (407)"),
    "refuses": (REFUSED, "makes no connection", "does not permit it (403)"),
    "does not get there": (UNREACHED, "makes no connection", "cannot reach it (502)"),
    "answers for Works": (FOR_WORKS, "Works", "closed|reset|no TLS"),
    "answers for Works, inside TLS": (ESTABLISHED, "no trusted TLS", "its certificate is not trusted"),
    "is dead": (None, "cannot be reached", "cannot be used: Connection refused"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_a_proxy_does_never_bounces_and_is_told_apart(tmp_path, fault):
    """Nothing that it says is taken for Works' word, and check has a sentence for each."""
    verdict, reason, sentence = FAULTS[fault]
    server, _ = make_tls(tmp_path)
    async with Peer(answer_as_works).running(ssl=server) as interceptor:
        async with ProxyPeer(verdict, to=("127.0.0.1", interceptor.port)).running() as proxy:
            works = {
                "api_url": "https://localhost:4433/v1.0",
                "auth_url": "https://localhost:4433/oauth2/v2.0",
                "proxy": f"http://{IN_URL}127.0.0.1:{proxy.port}",
            }
            if verdict is not None:
                await look(tmp_path, works, reason, sentence)
        if verdict is None:  # it is gone by now
            await look(tmp_path, works, reason, sentence)
    assert interceptor.bodies == []


async def look(folder, works, reason, sentence):
    through = Proxy.to(works["api_url"], SecretStr(works["proxy"]))
    trouble = await reach.find_trouble(works["api_url"], through)
    assert any(one in trouble.problem for one in sentence.split("|")), trouble
    assert trouble.remedy
    async with relaying(folder / "state", works=works, delivery={"wait": "0s"}) as relay:
        queue_id = await relay.put()

        async def tried():
            entry = await relay.entry(queue_id)
            return entry if entry.reason else None

        entry = await until(tried, 30)
        assert reason in entry.reason
        assert entry.state is State.DELAYED
        assert (await relay.service.spool.counts())[State.FAILED] == 0
        assert relay.sandbox.messages == []


@pytest.mark.parametrize("sentence", [said for _, _, said in FAULTS.values() if "|" not in said])
def test_the_page_has_what_check_says(sentence):
    page = Path(__file__).parents[2] / "docs" / "surroundings.md"
    assert sentence in page.read_text(encoding="utf-8")


async def test_an_alert_goes_through_the_proxy_and_names_nothing_of_it():
    async with ProxyPeer(LOGIN_WANTED).running() as proxy:
        secret = SecretStr(f"http://{IN_URL}127.0.0.1:{proxy.port}")
        with pytest.raises(PostError) as caught:
            await post_json("https://hooks.example/t0ken", {}, secret)
    assert proxy.requests[0].startswith(b"CONNECT hooks.example:443 ")
    assert str(caught.value) == "no answer (ProxyError)"


async def test_a_proxy_that_wants_a_login_where_none_is_given():
    async with ProxyPeer(login=LOGIN).running() as proxy:
        through = Proxy.to("https://works", SecretStr(f"http://127.0.0.1:{proxy.port}"))
        trouble = await reach.find_trouble("https://works.example/v1.0", through)
    assert trouble.problem == "the proxy wants a login (407)"
    assert "USER:PASSWORD" in trouble.remedy
