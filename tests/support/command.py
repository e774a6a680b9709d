"""A command of the relay, in a process of its own."""

import asyncio
import subprocess

from tests.support import warm


def run_relay(config, *arguments):
    return subprocess.run(
        [*warm.relay(), *arguments, "--config", config],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


async def command(config, *arguments):
    return await asyncio.to_thread(run_relay, config, *arguments)
