"""A server that stands in for what the examples ask: a language model's API, and a web site.

    python stand_in.py [--port 8000]

`POST /v1/chat/completions` speaks the chat-completions protocol, takes its time, and has bad days: one request in eight
is answered with 429 (too many requests), some with 500, and no ticket that it finds offensive. `GET /argparse` is the
page of a module of Python's standard library, with links to those that it imports.
"""

import argparse
import ast
import collections
import html
import json
import sys
import sysconfig
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LIBRARY = Path(sysconfig.get_path("stdlib"))
MODEL_SECONDS, PAGE_SECONDS = 0.2, 0.05
WORDS = {"refund": "billing", "invoice": "billing", "crash": "bug", "error": "bug", "please add": "wish"}

answered: collections.Counter[str] = collections.Counter()
"""How often each prompt and page was answered, and so would have been paid for."""
asked = 0
lock = threading.Lock()


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


class StandIn(BaseHTTPRequestHandler):
    """Answers requests, slowly."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        time.sleep(PAGE_SECONDS)
        found = page(self.path.strip("/"))
        self.count(self.path)
        self.answer(404 if found is None else 200, "text/html; charset=utf-8", found or "<title>not found</title>")

    def do_POST(self) -> None:
        global asked  # noqa: PLW0603
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with lock:
            asked += 1
            number = asked
        time.sleep(MODEL_SECONDS)
        text = request["messages"][-1]["content"]
        if number % 8 == 0:
            self.answer_json(429, {"error": "too many requests"}, **{"Retry-After": "0.2"})
        elif number % 51 == 0:
            self.answer_json(500, {"error": "internal error"})
        elif "damn" in text:
            self.count(text)
            self.answer_json(400, {"error": "the prompt was refused"})
        else:
            self.count(text)
            label = next((label for word, label in WORDS.items() if word in text.lower()), "other")
            usage = {"prompt_tokens": len(text.split()), "completion_tokens": 1}
            self.answer_json(
                200, {"choices": [{"message": {"role": "assistant", "content": label}}], "usage": usage}
            )

    def count(self, what: str) -> None:
        """Write the bill."""
        with lock:
            answered[what] += 1

    def answer_json(self, status: int, content: object, **headers: str) -> None:
        """Send JSON."""
        self.answer(status, "application/json", json.dumps(content), **headers)

    def answer(self, status: int, kind: str, text: str, **headers: str) -> None:
        """Send a text."""
        body = text.encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """A thread for each connection."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that was killed."""


def serve(port: int = 0) -> str:
    """Begin to serve in a thread, on a free port by default, and return the address."""
    server = Server(("127.0.0.1", port), StandIn)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A stand-in for a language model's API and for a web site.")
    parser.add_argument("--port", type=int, default=8000)
    print(f"listening on {serve(parser.parse_args().port)}")
    threading.Event().wait()
