"""Run examples, each of them killed part-way, run to its end, and run once more; then look at what was done twice.

    python kill_and_resume.py                   # all of them
    python kill_and_resume.py llm sweep         # some

Fails if a call that was finished ran again, or if the third run ran any.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import stand_in
from skipstone import Checkpoint, open_checkpoint

HERE = Path(__file__).parent
LONGEST_SECONDS = 300


class Example(NamedTuple):
    """What is run, and where its results are."""

    arguments: list[str]
    step: str
    index_name: str
    calls: int
    """How many results there are at the end, about."""
    asks: str = ""
    """What it asks the stand-in for."""
    in_flight: int = 0
    """How many requests at a time: as many may be answered at the kill, and not be stored."""


EXAMPLES = {
    "llm": Example(["llm/classify.py", "--url"], "classify", "tickets", 600, "/v1/chat/completions", 20),
    "crawl": Example(["crawl/crawl.py"], "crawl", "site", 100, "/argparse", 10),
    "sweep": Example(["sweep/sweep.py"], "sweep", "epidemic", 160),
    "notebook": Example(["-m", "jupyter", "execute", "notebook/modules.ipynb"], "measure", "modules", 200),
    "options": Example(["options/price.py", "--paths", "5000"], "price", "american-puts", 72),
    "picture": Example(["picture/denoise.py"], "clean", "china", 77),
}


def stored(checkpoint: Checkpoint) -> int:
    """Return how many results there are."""
    return sum(1 for _ in checkpoint.records())


def three_runs(example: Example, folder: str) -> list[str]:
    """Run an example in a folder of its own.

    Returns:
        What was not as it should be.
    """
    stand_in.answered.clear()
    asks = [stand_in.serve() + example.asks] if example.asks else []
    paths = [str(HERE / each) if each.endswith((".py", ".ipynb")) else each for each in example.arguments]
    command = [sys.executable, *paths, *asks]
    artifacts = f"{folder}/artifacts"
    environment = os.environ | {"SKIPSTONE_ARTIFACTS_DIR": artifacts}

    def run_to_the_end() -> int:
        """Return how many calls ran."""
        subprocess.run(command, cwd=folder, env=environment, check=True, timeout=LONGEST_SECONDS)
        return [*watched.runs()][-1].stats.misses

    with open_checkpoint(example.step, {"artifacts_dir": artifacts, "index_name": example.index_name}) as watched:
        enough, give_up = random.randint(1, example.calls * 2 // 3), time.monotonic() + LONGEST_SECONDS
        with subprocess.Popen(command, cwd=folder, env=environment) as process:
            while stored(watched) < enough and process.poll() is None and time.monotonic() < give_up:
                time.sleep(0.05)
            process.kill()
        finished = stored(watched)
        print(f"killed when {finished} calls were finished\n", flush=True)
        if process.returncode >= 0:
            return [f"it ended before it was killed, with exit code {process.returncode}"]
        second = run_to_the_end()
        answered, everything = sum(stand_in.answered.values()), stored(watched)
        print(flush=True)
        third = run_to_the_end()
    print(f"\ncalls: {finished} finished by the killed run, {second} run by the second, {third} by the third")
    problems = []
    if finished + second > everything or third:  # or fewer: workers outlive their program by a moment
        problems.append(f"{everything} calls were run {finished + second + third} times in all")
    if asks:
        twice = answered - len(stand_in.answered)
        print(f"requests: {answered} answered, {twice} of them again (at most {example.in_flight} were in flight)")
        if twice > example.in_flight or sum(stand_in.answered.values()) > answered:
            problems.append("more was asked again than was in flight")
    return problems


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill examples part-way, resume them, and run them once more.")
    parser.add_argument("names", nargs="*", choices=[[], *EXAMPLES], metavar="name")
    failed = False
    for name in parser.parse_args().names or EXAMPLES:
        print(f"\n=== {name} ===", flush=True)
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            problems = three_runs(EXAMPLES[name], folder)
        print(f"{name}: {time.monotonic() - started:.0f} s in all", *problems, sep="\nFAILED: ")
        failed |= bool(problems)
    sys.exit(failed)


if __name__ == "__main__":
    main()
