"""An Azure-compatible server: azurite, which keeps everything on disk."""

import base64
import hashlib
import hmac
import http.client
import shutil
import subprocess
from email.utils import formatdate
from pathlib import Path

from obstore.store import AzureStore

from .processes import free_port, need, wait_for

CONTAINER = "container"
ACCOUNT = "someone"
SECRET = base64.b64encode(b"s3cret of azure").decode()
_PROGRAM = Path(__file__).parents[2] / "build/azurite/node_modules/azurite/dist/src/blob/main.js"


class AzureServer:
    """A server in a process of its own, with one container."""

    scheme = "az"

    def __init__(self, folder):
        need(shutil.which("node") and _PROGRAM.exists(), "there is no Azure server: make azurite, which needs npm")
        self.folder = folder
        self.port = free_port()
        self.process = None

    def start(self):
        """Start it, wait until it answers, and make the container."""
        command = [
            "node", str(_PROGRAM), "--silent", "--disableTelemetry", "--skipApiVersionCheck", "--location",
            str(self.folder), "--blobHost", "127.0.0.1", "--blobPort", str(self.port),
        ]  # fmt: skip
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"AZURITE_ACCOUNTS": f"{ACCOUNT}:{SECRET}", "PATH": "/usr/bin:/bin"},
                cwd=self.folder,
            )
        wait_for(self._has_container, "azurite", self.process)

    def _has_container(self):
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
        canonical = "".join(f"{name}:{value}\n" for name, value in headers.items())
        resource = f"/{ACCOUNT}/{ACCOUNT}/{CONTAINER}\nrestype:container"
        text = "PUT" + "\n" * 12 + canonical + resource
        digest = hmac.digest(base64.b64decode(SECRET), text.encode(), hashlib.sha256)
        headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("PUT", f"/{ACCOUNT}/{CONTAINER}?restype=container", headers=headers)
            return connection.getresponse().status in (201, 409)
        except OSError:
            return False
        finally:
            connection.close()

    def stop(self):
        """End it as one should: killed, it forgets what was written in the last seconds."""
        self.process.terminate()
        self.process.wait()

    def environment(self, port=None):
        """Return what a client finds in its environment to reach it, perhaps through another port."""
        return {
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": SECRET,
            "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{port or self.port}/{ACCOUNT}",
        }

    def url(self, prefix):
        """Return the URL of a place in the container."""
        return f"az://{CONTAINER}/{prefix}"

    def client(self, prefix):
        """Return a client, to do something as somebody else."""
        return AzureStore(
            CONTAINER,
            prefix=prefix,
            account_name=ACCOUNT,
            account_key=SECRET,
            endpoint=f"http://127.0.0.1:{self.port}/{ACCOUNT}",
            client_options={"allow_http": True},
        )
