"""A stand-in for a language model's API: it speaks the chat-completions protocol, and has bad days.

    python stand_in.py [--port 8000]

It answers one request in eight with 429 (too many requests), some with 500, no ticket that it finds offensive, and takes
its time. `GET /bill` tells what it has answered, and so would have charged for.
"""

import argparse
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LATENCY_SECONDS = 0.2
WORDS = {"refund": "billing", "invoice": "billing", "crash": "bug", "error": "bug", "please add": "wish"}

billed: dict[str, int] = {}
requests = 0
lock = threading.Lock()


class Model(BaseHTTPRequestHandler):
    """Answers requests."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(200, billed)

    def do_POST(self) -> None:
        global requests  # noqa: PLW0603
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with lock:
            requests += 1
            number = requests
        time.sleep(LATENCY_SECONDS)
        text = asked["messages"][-1]["content"]
        if number % 8 == 0:
            self.answer(429, {"error": "too many requests"}, retry_after="0.2")
        elif number % 51 == 0:
            self.answer(500, {"error": "internal error"})
        elif "damn" in text:
            self.answer(400, {"error": "the prompt was refused"})
        else:
            with lock:
                billed[text] = billed.get(text, 0) + 1
            label = next((label for word, label in WORDS.items() if word in text.lower()), "other")
            usage = {"prompt_tokens": len(text.split()), "completion_tokens": 1}
            self.answer(200, {"choices": [{"message": {"role": "assistant", "content": label}}], "usage": usage})

    def answer(self, status: int, content: object, *, retry_after: str | None = None) -> None:
        """Send JSON."""
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if retry_after is not None:
            self.send_header("Retry-After", retry_after)
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
    server = Server(("127.0.0.1", port), Model)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A stand-in for a language model's API.")
    parser.add_argument("--port", type=int, default=8000)
    server = serve(parser.parse_args().port)
    print(f"http://127.0.0.1:{server.server_port}/v1/chat/completions")
    threading.Event().wait()
