"""(a) aiosmtpd as it comes, throwing every message away.

    python -m tests.long.bench.discard

Prints its port.
"""

import asyncio

from aiosmtpd.smtp import SMTP

_LARGEST = 64 * 1024 * 1024


class Discard:
    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's name
        return "250 2.0.0 OK"


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(Discard(), data_size_limit=_LARGEST, loop=loop), "127.0.0.1", 0, backlog=1024
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
