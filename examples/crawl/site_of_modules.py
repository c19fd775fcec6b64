"""A web site to crawl: a page for each module of Python's standard library, with links to those that it imports.

python site_of_modules.py [--port 8001]
"""

import argparse
import ast
import html
import sys
import sysconfig
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LIBRARY = Path(sysconfig.get_path("stdlib"))
LATENCY_SECONDS = 0.05


def page(name: str) -> str | None:
    """Return the page of a module, or None where there is none."""
    path = LIBRARY / f"{name}.py"
    if name not in sys.stdlib_module_names or not path.exists():
        return None
    tree = ast.parse(path.read_text("utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    links = "".join(f'<li><a href="/{each}">{each}</a></li>' for each in sorted(imported))
    text = html.escape(ast.get_docstring(tree) or "")
    return f"<title>{name}</title><h1>{name}</h1><pre>{text}</pre><ul>{links}</ul>"


class Site(BaseHTTPRequestHandler):
    """Answers requests, slowly; every page is counted."""

    served = 0

    def do_GET(self) -> None:
        if self.path == "/served":
            content: str | None = str(Site.served)
        else:
            time.sleep(LATENCY_SECONDS)
            content = page(self.path.strip("/") or "asyncio")
            Site.served += 1
        body = (content or "<title>not found</title>").encode()
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """A thread for each connection."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that was killed."""


def serve(port: int = 0) -> Server:
    """Begin to serve in a thread, on a free port by default."""
    server = Server(("127.0.0.1", port), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A web site to crawl.")
    parser.add_argument("--port", type=int, default=8001)
    print(f"http://127.0.0.1:{serve(parser.parse_args().port).server_port}/argparse")
    threading.Event().wait()
