"""Stands between the relay and PostgreSQL, and breaks connections at the worst moments."""

import asyncio
import contextlib


class Cut:
    """A proxy on a Unix socket.

    `lose` says what is lost: "request" (the server never sees it), "answer" (the server does it, and nobody
    hears of it) or "time" (the server sees it when `free` is set); `when` are octets by which the request is
    known.
    """

    def __init__(self, server, folder):
        self._server = server
        self.folder = folder
        self.lose = ""
        self.when = b""
        self.times = 1
        self.done = 0
        self.is_away = False  # no connection is taken any more
        self.goes_away = False  # it is so after the next loss
        self.free = asyncio.Event()
        self.late = asyncio.Event()  # what had waited for that has come to its end
        self._writers = set()
        self._relays = set()  # those of them that lead back to the relay
        self._listening = None

    async def __aenter__(self):
        path = self.folder / ".s.PGSQL.5432"
        self._listening = await asyncio.start_unix_server(self._serve, path)
        return self

    async def __aexit__(self, *_):
        self._listening.close()
        for writer in self._writers:
            writer.close()

    def url(self, database):
        return f"postgresql:///{database}?host={self.folder}&user=relay"

    def arm(self, lose, when=b"COMMIT", times=1):
        self.lose, self.when, self.times = lose, when, times

    def go_away(self):
        """As if the server's machine were gone."""
        self.is_away = True
        for writer in self._writers:
            writer.transport.abort()

    def leave(self):
        """As if the relay's side of every connection were gone; what is under way reaches the server."""
        self.is_away = True
        for writer in self._relays:
            writer.transport.abort()

    async def _serve(self, reader, writer):
        if self.is_away:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_unix_connection(self._server.folder / ".s.PGSQL.5432")
        except OSError:  # the server itself is away
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        self._relays.add(writer)
        deaf = asyncio.Event()
        try:
            waited, _ = await asyncio.gather(
                self._ask(reader, back, writer, deaf), self._answer(there, writer, deaf)
            )
            if waited:
                self.late.set()
        finally:
            for one in (writer, back):
                self._writers.discard(one)
                one.close()
            self._relays.discard(writer)

    async def _ask(self, reader, back, writer, deaf):
        """Whether something had to wait."""
        waited = False
        while octets := await self._read(reader):
            # What is committed without being waited for goes on beside it.
            if self.times and self.lose and self.when in octets and b"synchronous_commit" not in octets:
                self.times -= 1
                self.done += 1
                if self.lose == "request":
                    break
                if self.lose == "time":
                    waited = bool(await self.free.wait())
                else:
                    deaf.set()
            back.write(octets)
        if deaf.is_set():
            await asyncio.sleep(0.2)  # the server comes to its end
            if self.goes_away:
                self.go_away()
        writer.close()
        if waited:
            back.write_eof()  # the server comes to its end before it hears that nobody listens
        else:
            back.close()
        return waited

    async def _answer(self, there, writer, deaf):
        while octets := await self._read(there):
            if deaf.is_set():
                # All that it says to this is lost, and then the connection breaks.
                writer.close()
                return
            with contextlib.suppress(OSError):
                writer.write(octets)
        writer.close()

    async def _read(self, reader):
        with contextlib.suppress(OSError):
            return await reader.read(65536)
        return b""
