"""A service over HTTP that refuses requests, or whose answers do not arrive."""

import asyncio
from contextlib import suppress

from .proxy import Proxy

_SLOW_DOWN = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class HttpProxy(Proxy):
    """Does worse to connections that are made from now on; those that there are, `cut` ends."""

    def __init__(self, server_port):
        self._refusals = 0
        self._cut_answers = []
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

    async def _serve(self, reader, writer):
        if self._refusals:
            self._refusals -= 1
            with suppress(OSError, asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 503 Slow Down\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(_SLOW_DOWN))
                writer.write(_SLOW_DOWN)
                await writer.drain()
            writer.close()
        elif self._cut_answers:
            there, back = await asyncio.open_connection("127.0.0.1", self._server_port)
            requests = asyncio.ensure_future(self._copy(reader, back))
            writer.write((await there.read(1 << 16))[: self._cut_answers.pop()])
            with suppress(OSError):
                await writer.drain()
            requests.cancel()
            writer.close()
            back.transport.abort()
        else:
            await super()._serve(reader, writer)

    async def _copy(self, reader, writer):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()

    async def _pass_on(self, reader, writer, pair, is_request):
        if not is_request:
            writer = _Counting(writer, self)
        await super()._pass_on(reader, writer, pair, is_request)


class _Counting:
    """A writer that counts."""

    def __init__(self, writer, proxy):
        self._writer = writer
        self._proxy = proxy
        self.drain = writer.drain

    def write(self, data):
        self._proxy.answered_bytes += len(data)
        self._writer.write(data)
