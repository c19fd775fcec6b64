"""A service over HTTP that refuses requests, or whose answers do not arrive."""

import asyncio
from contextlib import suppress

from .proxy import Proxy

_SLOW_DOWN = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)


class HttpProxy(Proxy):
    """Does worse to connections that are made from now on; those that there are, `cut` ends."""

    def __init__(self, server_port):
        self._refusals = 0
        self._cut_answers = []
        self._swallowed = 0
        self._is_refused = False
        self.passed_bytes = 0
        """How much has been passed on of requests."""
        self.answered_bytes = 0
        """How much has been passed on of answers."""
        super().__init__(server_port)

    def slow_down(self, times):
        """Answer requests with 503, as S3 does where there are too many."""
        self._refusals = times
        self.cut()

    def cut_answers(self, times, after_bytes=0):
        """Pass requests on, but not more than a part of what is answered."""
        self._cut_answers = [after_bytes] * times
        self.cut()

    def swallow(self, times):
        """Take requests on so many connections, and never answer."""
        self._swallowed = times
        self.cut()

    def refuse(self):
        """Refuse connections, until told to let them flow."""
        self._is_refused = True
        self.cut()

    def flow(self):
        """Pass on again."""
        self._is_refused = False
        super().flow()

    async def _serve(self, reader, writer):
        if self._is_refused:
            writer.transport.abort()
        elif self._refusals:
            self._refusals -= 1
            with suppress(OSError, asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(
                    b"HTTP/1.1 503 Slow Down\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(_SLOW_DOWN)
                )
                writer.write(_SLOW_DOWN)
                await writer.drain()
            await self._close(writer)
        elif self._swallowed:
            self._swallowed -= 1
            while await reader.read(1 << 16):
                pass
            await self._close(writer)
        elif self._cut_answers:
            most_bytes = self._cut_answers.pop()
            there, back = await asyncio.open_connection("127.0.0.1", self._server_port)
            requests = asyncio.ensure_future(self._copy(reader, back))
            try:
                writer.write((await there.read(1 << 16))[:most_bytes])
                with suppress(OSError):
                    await writer.drain()
            finally:
                requests.cancel()
                back.transport.abort()
                await self._close(writer)
        else:
            await super()._serve(reader, writer)

    async def _close(self, writer):
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async def _copy(self, reader, writer):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()

    async def _pass_on(self, reader, writer, pair, is_request):
        await super()._pass_on(_Counting(reader, self, is_request), writer, pair, is_request)


class _Counting:
    """A reader that counts."""

    def __init__(self, reader, proxy, is_request):
        self._reader = reader
        self._proxy = proxy
        self._name = "passed_bytes" if is_request else "answered_bytes"

    async def read(self, most_bytes):
        data = await self._reader.read(most_bytes)
        setattr(self._proxy, self._name, getattr(self._proxy, self._name) + len(data))
        return data
