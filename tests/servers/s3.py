"""An S3-compatible server: moto, which keeps everything in memory. When it is started again, it is empty."""

import http.client
import importlib.util
import subprocess
import sys

from obstore.store import S3Store

from .processes import free_port, need, wait_for

BUCKET = "bucket"
SECRET = "s3cret-of-s3"
_SIGNED = "AWS4-HMAC-SHA256 Credential=someone/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"


class S3Server:
    """A server in a process of its own, with one bucket."""

    scheme = "s3"

    def __init__(self, folder):
        need(importlib.util.find_spec("moto"), "there is no S3 server: pip install 'moto[server]'")
        self.folder = folder
        self.port = free_port()
        self.process = None

    def start(self):
        """Start it, wait until it answers, and make the bucket."""
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_for(self._has_bucket, "moto", self.process)

    def _has_bucket(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("PUT", f"/{BUCKET}", headers={"Authorization": _SIGNED})
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def kill(self):
        """Kill it. What it held is gone."""
        self.process.kill()
        self.process.wait()

    stop = kill

    def environment(self, port=None):
        """Return what a client finds in its environment to reach it, perhaps through another port."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port or self.port}",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "someone",
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }

    def url(self, prefix):
        """Return the URL of a place in the bucket."""
        return f"s3://{BUCKET}/{prefix}"

    def client(self, prefix):
        """Return a client, to do something as somebody else."""
        return S3Store(
            BUCKET,
            prefix=prefix,
            endpoint=f"http://127.0.0.1:{self.port}",
            region="us-east-1",
            access_key_id="someone",
            secret_access_key=SECRET,
            client_options={"allow_http": True},
        )
