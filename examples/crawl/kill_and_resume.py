"""Crawl a site, kill the program part-way, run it again twice; then look at how many pages the site has served.

    python kill_and_resume.py

Fails if more pages were served twice than were in flight at the kill, or if the last run asked for any.
"""

import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import site_of_modules

CRAWL = Path(__file__).with_name("crawl.py")
IN_FLIGHT = 10


def main() -> None:
    server = site_of_modules.serve()
    url = f"http://127.0.0.1:{server.server_port}"

    def served() -> int:
        with urllib.request.urlopen(f"{url}/served") as answer:
            return int(answer.read())

    command = [sys.executable, str(CRAWL), f"{url}/argparse"]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(command, cwd=folder)
        while served() < 60:
            time.sleep(0.01)
        process.kill()
        process.wait()
        print(f"killed when {served()} pages were served\n")
        output = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout
        print(output)
        after_second = served()
        subprocess.run(command, cwd=folder, check=True)
        asked_again = served() - after_second
    pages, _, rest = output.partition(" pages")
    dead = rest.partition(" dead links")[0].rpartition(" ")[2]
    twice = after_second - int(pages) - int(dead)
    print(
        f"\n{twice} pages were served twice (at most {IN_FLIGHT} were in flight), {asked_again} in the third run"
    )
    sys.exit(twice > IN_FLIGHT or asked_again > 0)


if __name__ == "__main__":
    main()
