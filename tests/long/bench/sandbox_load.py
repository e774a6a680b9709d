"""How much the simulated Works takes: run it before believing that a figure is the relay's limit.

    python -m tests.long.bench.sandbox_load

Prints small mails a second at 20 connections, the time and the peak memory of twenty mails of 18 MB
at once (mapped files count in the peak, not in the private memory).
"""

import asyncio
import base64
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx2 as httpx

LARGE, AT_ONCE, SMALL = 18 * 1024 * 1024, 20, 4000
BLOCK = 64 * 1024


def memory(pid: int, kind: str) -> float:
    """MB of one line of /proc/PID/status."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return int(re.search(rf"{kind}:\s+(\d+)", status)[1]) / 1024


async def measure(url: str, pid: int) -> None:
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=120) as http:
        tokens = (await http.post("/sandbox/grants", json={"login_id": "scanner@example.com"})).json()
        headers = {"authorization": f"Bearer {tokens['access_token']}", "content-type": "application/json"}

        async def send(content: object, **more: str) -> None:
            answer = await http.post("/v1.0/users/me/mail", content=content, headers=headers | more)
            assert answer.status_code == 202, answer.text

        async def send_many(content: bytes) -> None:
            for _ in range(SMALL // AT_ONCE):
                await send(content)

        small = json.dumps({"to": "a@example.com", "subject": "s", "body": "x" * 2000}).encode()
        began = time.perf_counter()
        await asyncio.gather(*[send_many(small) for _ in range(AT_ONCE)])
        print(f"small mails: {SMALL / (time.perf_counter() - began):.0f} a second")

        file = {"data": base64.b64encode(os.urandom(LARGE)).decode(), "filename": "a", "fileType": "a/b"}
        large = json.dumps({"to": "a@example.com", "subject": "s", "attachments": [file]}).encode()

        async def blocks():
            for start in range(0, len(large), BLOCK):
                yield large[start : start + BLOCK]

        idle = memory(pid, "VmRSS")
        began = time.perf_counter()
        await asyncio.gather(*[send(blocks(), **{"content-length": str(len(large))}) for _ in range(AT_ONCE)])
        print(f"{AT_ONCE} mails of 18 MB at once: {time.perf_counter() - began:.1f} s")
        peak, private = memory(pid, "VmHWM"), memory(pid, "RssAnon")
        print(f"memory: {idle:.0f} MB before, {peak:.0f} MB at the peak, {private:.0f} MB private after")


def main() -> None:
    options = ["--api-only", "--http-port", "0", "--mails-per-minute", "0", "--requests-per-minute", "0"]
    command = [sys.executable, "-m", "relay", "sandbox", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as works:
        try:
            url = next(found[0] for line in works.stderr if (found := re.search(r"http://[\d.]+:\d+", line)))
            asyncio.run(measure(url, works.pid))
        finally:
            works.terminate()


if __name__ == "__main__":
    main()
