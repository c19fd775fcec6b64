"""A network that fails when it is told to: between a client and a server on this machine."""

import asyncio
import threading


class Proxy:
    """Listens at a port of its own, and passes on what comes, until it is told to do worse."""

    def __init__(self, server_port):
        self._server_port = server_port
        self._loop = asyncio.new_event_loop()
        self._writers = set()
        self._after = None
        self._loses_answer = False
        self.connections = 0
        """How many were made so far."""
        self._flows = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self.port = self._do(self._open())

    def _do(self, what):
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(30)

    async def _open(self):
        self._flows = asyncio.Event()
        self._flows.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader, writer):
        self.connections += 1
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, back)
        self._writers.update(pair)
        await asyncio.gather(self._pass_on(reader, back, pair, True), self._pass_on(there, writer, pair, False))
        self._writers.difference_update(pair)

    async def _pass_on(self, reader, writer, pair, is_request):
        try:
            while data := await reader.read(1 << 16):
                await self._flows.wait()
                if not is_request and self._loses_answer:
                    self._loses_answer = False
                    break
                if is_request and self._after is not None:
                    passed, self._after = data[: self._after], self._after - len(data)
                    if self._after <= 0:
                        self._after = None
                        writer.write(passed)
                        await writer.drain()
                        break
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            for each in pair:
                each.transport.abort()

    def cut(self):
        """Cut all connections there are; new ones can be made."""

        async def cut():
            for writer in self._writers:
                writer.transport.abort()

        self._do(cut())

    def cut_after(self, count):
        """Cut the connection on which the next `count` bytes of requests have been passed on."""

        async def set_after():
            self._after = count

        self._do(set_after())

    def lose_answer(self):
        """Cut the connection on which the next answer comes; the request was done."""

        async def lose():
            self._loses_answer = True

        self._do(lose())

    def stall(self):
        """Pass nothing on, and cut nothing either."""

        async def stall():
            self._flows.clear()

        self._do(stall())

    def flow(self):
        """Pass on again."""

        async def flow():
            self._flows.set()

        self._do(flow())

    def close(self):
        """Cut all, and listen no more."""

        async def close():
            self._server.close()
            self._flows.set()
            for writer in self._writers:
                writer.transport.abort()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self._do(close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()
