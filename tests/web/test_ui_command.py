"""`skipstone ui`: how the page is started and stopped."""

import http.client
import signal
import socket
import subprocess
import sys

import pytest

from .conftest import Site, filled


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_when_told_to(tmp_path, stop):
    """Ctrl-C, or a service manager, ends it soon and quietly, also while a browser follows the live page."""
    site = Site(filled(tmp_path))
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=30)
    connection.request("GET", "/live/events", headers={"Cookie": site.cookie})
    assert connection.getresponse().readline().startswith(b"data:")
    site.process.send_signal(stop)
    assert site.process.wait(30) == (130 if stop == signal.SIGINT else -signal.SIGTERM)
    connection.close()
    assert site.process.stdout.read() == "\nCtrl-C stops it.\n"
    site.close()


def test_a_port_that_is_taken_is_told(tmp_path):
    """Where somebody else listens, it says so."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "skipstone", "ui", "--no-browser", "-d", tmp_path, "--port", str(port)],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    assert done.stderr == f"skipstone: port {port} cannot be used: Address already in use\n"


def test_missing_libraries_are_told(tmp_path):
    """Without its extra, it says what to install."""
    program = "import sys; sys.modules['uvicorn'] = None; from skipstone.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "ui", "-d", tmp_path], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr == 'skipstone: the page needs starlette, uvicorn and jinja2: pip install "skipstone[web]"\n'
