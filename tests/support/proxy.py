"""HTTP proxies: one that works, and those that refuse, intercept or answer in place of the host."""

import asyncio
import base64
import contextlib
import ssl

from relay.host.certificate import make
from tests.support.works import Peer

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
LOGIN_WANTED = b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="x"\r\n\r\n'


class ProxyPeer(Peer):
    """Says `verdict` to CONNECT, and is a tunnel if that is a 200; with `login`, only to who has it.

    `to` is where the tunnel ends, whatever was asked for: an interceptor's own server.
    """

    def __init__(self, verdict=ESTABLISHED, *, login="", to=None):
        super().__init__(None)
        self.verdict, self.script, self.to = verdict, self._tunnel, to
        self.login = b"basic " + base64.b64encode(login.encode()).lower() if login else b""

    async def _tunnel(self, _, reader, writer):
        head = await self.read_head(reader)
        if self.login not in head.lower():
            writer.write(LOGIN_WANTED)
            return
        writer.write(self.verdict)
        if b" 200 " not in self.verdict:
            return
        host, _, port = head.split(b" ")[1].rpartition(b":")
        there, out = await asyncio.open_connection(*(self.to or (host.decode(), int(port))))
        try:
            await asyncio.gather(pipe(reader, out), pipe(there, writer))
        finally:
            out.close()


async def pipe(reader, writer):
    with contextlib.suppress(ConnectionError):
        while octets := await reader.read(65536):
            writer.write(octets)
            await writer.drain()
        writer.close()


def make_tls(folder, name="localhost"):
    """A server's context for that name, and a client's that trusts it."""
    pair = make([name], 2)
    path = folder / "both.pem"
    path.write_bytes(pair.certificate + pair.private_key)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cadata=pair.certificate.decode())
