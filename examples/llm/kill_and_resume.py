"""Classify tickets, kill the program part-way, run it again twice; then look at the bill.

    python kill_and_resume.py

Fails if more was paid for twice than was in flight at the kill, if a ticket has no answer, or if the last run paid for anything.
"""

import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import stand_in

CLASSIFY = Path(__file__).with_name("classify.py")
TICKETS, IN_FLIGHT = 600, 20


def bill(url: str) -> dict[str, int]:
    """Return how often each ticket was answered."""
    with urllib.request.urlopen(f"{url}/bill") as answer:
        return json.load(answer)


def main() -> None:
    server = stand_in.serve()
    url = f"http://127.0.0.1:{server.server_port}"
    command = [sys.executable, str(CLASSIFY), "--url", url, "--tickets", str(TICKETS)]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(command, cwd=folder)
        while len(bill(url)) < TICKETS / 3:
            time.sleep(0.05)
        process.kill()
        process.wait()
        print(f"killed when {len(bill(url))} of {TICKETS} tickets were answered\n")
        subprocess.run(command, cwd=folder, check=True)
        paid = bill(url)
        print()
        subprocess.run(command, cwd=folder, check=True)
        asked_again = bill(url) != paid
    twice = sum(count - 1 for count in paid.values())
    refused = TICKETS // 6
    print(
        f"\n{len(paid)} tickets answered, {refused} refused, {twice} paid for twice (at most {IN_FLIGHT} were in flight)"
    )
    sys.exit(len(paid) != TICKETS - refused or twice > IN_FLIGHT or asked_again)


if __name__ == "__main__":
    main()
