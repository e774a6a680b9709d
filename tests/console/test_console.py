"""The console at its socket: what it shows, whom it answers, and what it never lets through."""

import asyncio
import html
import re
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import httpx2 as httpx
import pytest
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from relay import metrics
from relay.config.model import Config, Console
from relay.console.access import OPEN
from relay.console.app import build
from relay.console.server import serving
from relay.mail import KINDS
from tests.support.console import MESSAGE, NODES, STATE, Relay

FIELDS = ("to", "from", "source", "state", "account", "since", "before", "skip", "first")
NAMED = Config(console=Console(hosts=("relay.example.com",), url="https://console.example.com"))


@asynccontextmanager
async def console(relay, **options):
    async with (
        serving(build(relay, **options)) as server,
        httpx.AsyncClient(base_url=server.url, trust_env=False) as http,
    ):
        yield http


async def test_the_page_says_it_in_the_designs_words():
    async with console(Relay(), links={"Inbox": "/inbox"}) as http:
        page = await http.get("/")
    assert page.status_code == 200
    text = html.unescape(page.text)
    for words in (
        "relay.example.com",
        "127.0.0.0/8, ::1/128",
        "50 days left",
        "sudo relay login erp",
        "Account erp: the grant is dead<",
        ">since ",
        " · 3 messages wait<",
        "1,234",
        "10 min</time> ago",
        "Works is not available",
        "next try in 5 min",
        "3.0 MB",
        "5.0 GB free",
        "12 used, 228 left",
        "reply-to",
        "/inbox",
        "up for 90 min",
        "23 relayed, 1 held",
    ):
        assert words in text, words


async def test_nodes_are_told_where_there_are_several():
    """Who sends and since when, who is silent, who takes nothing, who runs by another configuration."""
    async with console(Relay(seen=replace(STATE, nodes=NODES))) as http:
        page = (await http.get("/")).text
    a, b, c = re.findall(r"<b>(relay-[abc]\.example)</b>(.*?)</tr>", page, re.DOTALL)
    for (_name, row), words in (
        (a, ("this one", "alive", "sends", "60 min", "taken", "1,203")),
        (b, ("another release", "silent", "5 min</time> ago", "not known", "its configuration differs")),
        (c, ("alive", "not taken", "the disk is full")),
    ):
        for word in words:
            assert word in row, word
    assert "sends</span>" not in b[1] + c[1]
    async with console(Relay()) as http:
        assert 'id="nodes"' not in (await http.get("/")).text


async def test_everything_is_escaped():
    """A reverse-path, a HELO or a user comes from whoever connects."""
    evil = "<script>alert(1)</script>\"'"
    message = MESSAGE | dict.fromkeys(("client", "user", "reverse_path", "reason", "account", "state"), evil)
    message |= {"losses": [{"loss": evil, "detail": evil, "weight": "notable"}], "queue_id": evil}
    message |= {"forward_paths": [evil, evil]}
    concern = replace(STATE.concerns[0], kind=evil, name=evil, reason=evil, remedy=evil)
    account = replace(STATE.accounts[1], name=evil, address=evil)
    listener = replace(STATE.listeners[0], address=evil, networks=(evil,), remarks=(evil,))
    seen = replace(
        STATE, hostname=evil, version=evil, concerns=(concern,), accounts=(account,), listeners=(listener,)
    )
    relay = Relay(replace(seen, headline=replace(STATE.headline, text=evil)), [message], troubles=(evil,))
    async with console(relay, access=OPEN) as http:
        for path in ("/", "/messages", f"/messages?{urlencode(dict.fromkeys(FIELDS, evil))}"):
            page = (await http.get(path)).text
            assert "<script>alert" not in page
            assert page.count("&lt;script&gt;alert(1)") >= 7


async def test_metrics_are_what_prometheus_reads_and_are_born_at_zero():
    async with console(Relay()) as http:
        answer = await http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert samples["relay_queue_messages", "relayed"] == 1234
    assert samples["relay_queue_messages", "held"] == 0
    assert samples["relay_queue_oldest_seconds",] == 600
    assert samples["relay_grant_days_left", "scanner"] == 50.5
    assert samples["relay_grant_days_left", "erp"] == 0
    assert (samples["relay_account_held", "erp"], samples["relay_account_held", "scanner"]) == (1, 0)
    for action in ("relayed", "delayed", "failed", "held", "unknown"):
        for blame in ("message", "remote", "gateway"):
            assert ("relay_attempts_total", action, blame) in samples
    for loss in KINDS:
        assert ("relay_losses_total", loss) in samples
    for name in ("relay_messages_total", "relay_logins_total", "relay_connections_total"):
        assert (name, "refused") in samples
    assert not any(name.endswith("_created") for name, *_ in samples)


async def test_every_metric_is_documented_with_its_labels():
    """An operator asks for a series by the name in docs/operations.md: `_total` and all."""
    text = (Path(__file__).parents[2] / "docs/operations.md").read_text(encoding="utf-8")
    table = re.search(r"<!-- metrics -->\n(.*?)<!-- /metrics -->", text, re.DOTALL)[1]
    rows = dict(re.findall(r"^\| `(relay_\w+)` \| (.*?) \|", table, re.MULTILINE))
    async with console(Relay()) as http:
        answer = await http.get("/metrics")
    families = list(text_string_to_metric_families(answer.text))
    suffix = {"counter": "_total"}
    assert rows.keys() == {family.name + suffix.get(family.type, "") for family in families}
    for family in families:
        row = rows[family.name + suffix.get(family.type, "")]
        for sample in family.samples:
            for label, value in sample.labels.items():
                assert label == "le" or f"`{label}`" in row, (family.name, label)
                if label in ("reply", "action", "blame", "told", "answer", "result"):
                    assert value in row, (family.name, value)
    for name in re.findall(r"`(relay_[a-z_]+)[`{]", text):
        assert name in rows, name


def test_every_metric_is_counted_somewhere():
    """A series that stays at zero says that all is well."""
    package = Path(metrics.__file__).parent
    text = "\n".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    for name, value in vars(metrics).items():
        if isinstance(value, Counter | Gauge | Histogram):
            assert re.search(rf"\b{name}\.(labels|inc|observe|set|track_inprogress)\(", text), name


async def test_what_is_counted_is_seen():
    async with console(Relay()) as http:
        before = (await http.get("/metrics")).text
        metrics.ATTEMPTS.labels("unknown", "remote").inc()
        after = (await http.get("/metrics")).text

    def value(text):
        (line,) = (
            line
            for line in text.splitlines()
            if line.startswith('relay_attempts_total{action="unknown",blame="remote"}')
        )
        return float(line.split()[1])

    assert value(after) == value(before) + 1


@pytest.mark.parametrize(
    ("status", "label"), [(202, "2xx"), (429, "429"), (404, "4xx"), (503, "5xx"), (None, "none")]
)
def test_the_class_of_an_answer(status, label):
    assert metrics.answer_class(status) == label


async def test_health_and_readiness_are_two_questions():
    """A held account is not healed by a restart, so it is never a matter of health."""
    relay = Relay(troubles=("no account has a grant",))
    async with console(relay) as http:
        assert (await http.get("/healthz")).text == "ok\n"
        answer = await http.get("/readyz")
        assert (answer.status_code, answer.text) == (503, "no account has a grant\n")
        assert "no account has a grant" in (await http.get("/")).text
        relay.troubles, relay.living = (), False
        assert (await http.get("/readyz")).text == "ready\n"
        assert (await http.get("/healthz")).status_code == 503


async def test_a_spool_that_does_not_answer_is_told_without_its_reasons():
    async with console(Relay(broken=True)) as http:
        page, counted, ready = [await http.get(path) for path in ("/", "/metrics", "/readyz")]
    assert (page.status_code, counted.status_code, ready.status_code) == (503, 200, 503)
    assert "secret-detail" not in page.text + counted.text + ready.text
    assert "relay_attempts_total" in counted.text


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8580", 200),
        ("[::1]:8580", 200),
        ("localhost", 200),
        ("LOCALHOST.:8580", 200),
        ("192.0.2.1", 200),
        ("relay.example.com", 200),
        ("console.example.com", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.1", 421),
        ("[::1", 200),
    ],
)
@pytest.mark.parametrize("path", ["/", "/metrics", "/healthz"])
async def test_it_answers_to_its_own_names_only(host, status, path):
    """DNS rebinding: a page elsewhere has its own name point to this address."""
    async with console(Relay(), config=NAMED) as http:
        answer = await http.get(path, headers={"host": host})
    assert answer.status_code == status
    assert ("relay" in answer.text and status == 421) <= ("hosts" in answer.text)


@pytest.mark.parametrize("fields", [b"", b"Host: 127.0.0.1\r\nHost: evil.example\r\n"])
async def test_no_host_and_two_hosts_are_refused(fields):
    async with serving(build(Relay())) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.0\r\n" + fields + b"\r\n")
        answer = await reader.read()
        writer.close()
    assert answer.split()[1] in (b"400", b"421")
    assert b"scanner" not in answer


@pytest.mark.parametrize("path", ["/", "/metrics", "/healthz", "/readyz", "/nothing"])
async def test_every_answer_carries_the_security_fields(path):
    async with console(Relay()) as http:
        answer = await http.get(path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"
    assert "server" not in answer.headers


async def test_nothing_can_be_changed_here():
    async with console(Relay()) as http:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert (await http.request(method, "/")).status_code == 405


async def test_the_page_lets_nothing_of_elsewhere_in():
    async with console(Relay()) as http:
        policy = (await http.get("/")).headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert policy.endswith("form-action 'self'; frame-ancestors 'none'")  # clickjacking


async def test_a_stop_with_an_idle_client_ends():
    """From Python 3.12 on a server's `wait_closed` waits for its clients."""
    async with asyncio.timeout(60):
        async with serving(build(Relay())) as server:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.close()
