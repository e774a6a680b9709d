"""A page of another site cannot change the sandbox by way of a browser."""

import json

import httpx2 as httpx
import pytest

from relay.console.server import serving
from relay.sandbox import Sandbox, Settings


def ask(url):
    return httpx.AsyncClient(base_url=url, trust_env=False)


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("path", ["/sandbox/faults", "/sandbox/clock", "/sandbox/grants"])
@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {},
        JSON | {"sec-fetch-site": "cross-site"},
        JSON | {"sec-fetch-site": "same-site"},
        JSON | {"origin": "https://evil.test"},
        JSON | {"origin": "null"},
    ],
)
async def test_a_request_of_another_site_is_refused(tmp_path, path, headers):
    """text/plain is sent to any site without asking first: faults, clock and grants could be had so."""
    sandbox = Sandbox(Settings(), state_dir=tmp_path)
    wish = {"kind": "503", "seconds": 5, "login_id": "scanner@example.com"}
    async with (
        serving(sandbox.app) as server,
        httpx.AsyncClient(base_url=server.url, trust_env=False) as http,
    ):
        answer = await http.post(path, content=json.dumps(wish).encode(), headers=headers)
        assert answer.status_code in (403, 415)
        if "content-type" in headers and headers != {"content-type": "text/plain"}:
            assert (await http.request("DELETE", path, headers=headers)).status_code in (204, 403, 405)
    assert not sandbox.faults.standing()
    assert sandbox.clock.offset == 0
    sandbox.close()


async def test_its_own_pages_and_programs_may(tmp_path):
    sandbox = Sandbox(Settings(), state_dir=tmp_path)
    async with (
        serving(sandbox.app) as server,
        httpx.AsyncClient(base_url=server.url, trust_env=False) as http,
    ):
        for more in ({}, {"sec-fetch-site": "same-origin"}, {"origin": server.url}):
            answer = await http.post("/sandbox/clock", json={"seconds": 1}, headers=more)
            assert answer.status_code == 200
    sandbox.close()
