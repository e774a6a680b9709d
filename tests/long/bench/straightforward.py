"""(b) A relay as a competent engineer writes it in an afternoon: nothing is stored.

    python -m tests.long.bench.straightforward API_URL

Prints its port.
"""

import asyncio
import base64
import sys
from email import message_from_bytes, policy

import httpx2 as httpx
from aiosmtpd.smtp import SMTP

_LARGEST = 64 * 1024 * 1024


class Relay:
    def __init__(self, url):
        self.url = f"{url}/users/me/mail"
        self.client = httpx.AsyncClient(
            timeout=60, trust_env=False, headers={"Authorization": "Bearer token"}
        )

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's name
        message = message_from_bytes(envelope.content, policy=policy.default)
        try:
            response = await self.client.post(self.url, json=self.convert(message, envelope))
        except httpx.HTTPError:
            return "451 4.4.1 the API cannot be reached"
        if response.status_code == 202:
            return "250 2.0.0 relayed"
        if response.status_code == 429 or response.status_code >= 500:
            return "451 4.3.0 the API is busy"
        return "554 5.0.0 the API refused the message"

    def convert(self, message, envelope):
        body = message.get_body(("html", "plain"))
        return {
            "to": "; ".join(envelope.rcpt_tos),
            "subject": message["subject"] or "(no subject)",
            "body": body.get_content() if body else "",
            "contentType": "html" if body and body.get_content_subtype() == "html" else "text",
            "attachments": [
                {
                    "filename": part.get_filename() or "attachment",
                    "fileType": part.get_content_type(),
                    "data": base64.b64encode(part.get_payload(decode=True)).decode(),
                }
                for part in message.iter_attachments()
            ],
        }


async def main():
    loop, relay = asyncio.get_running_loop(), Relay(sys.argv[1])
    server = await loop.create_server(
        lambda: SMTP(relay, data_size_limit=_LARGEST, loop=loop), "127.0.0.1", 0, backlog=1024
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
