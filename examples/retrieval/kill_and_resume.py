"""Kill the pipeline part-way with SIGKILL, run it again to its end, and run it a third time.

    python retrieval/kill_and_resume.py

Fails if anything that was finished is lost, or if the third run, which has nothing left to do, runs any
call or takes more than 1/20 of the time of an uninterrupted first run.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

PIPELINE = Path(__file__).with_name("pipeline.py")
KILLED_AT = 0.6  # of the chunks have their keywords by then
REQUIRED_SPEEDUP = 20

PROGRESS = re.compile(r"keywords:.*\| (\d+)/(\d+) ")
STATISTICS = re.compile(r"^(\w+): (\d+) calls run, (\d+) skipped, ([\d.]+) s saved$", re.MULTILINE)


@dataclass
class Step:
    """What one run did in one step."""

    calls_run: int
    calls_skipped: int
    seconds_saved: float


def run_and_kill(command: list[str]) -> tuple[float, int]:
    """Start the pipeline, and kill it when enough chunks have their keywords.

    Returns:
        How long it ran, and how many chunks were finished according to its progress bar.
    """
    started = time.perf_counter()
    # In text mode the carriage returns with which a progress bar draws itself anew are ends of lines.
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, encoding="utf-8") as process:
        for line in process.stderr:
            print(line.rstrip(), end="\r" if "%|" in line else "\n", file=sys.stderr)
            progress = PROGRESS.match(line)
            if progress and int(progress[1]) >= KILLED_AT * int(progress[2]):
                process.kill()
                process.wait()
                print(f"\nkilled when {progress[1]} of {progress[2]} chunks had their keywords\n")
                return time.perf_counter() - started, int(progress[1])
    sys.exit(f"the pipeline ended with exit code {process.returncode} before it could be killed")


def run_to_the_end(command: list[str]) -> tuple[float, dict[str, Step]]:
    """Run the pipeline to its end.

    Returns:
        How long it ran, and what it says it did in each step.
    """
    started = time.perf_counter()
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, encoding="utf-8", check=True).stdout
    seconds = time.perf_counter() - started
    print(output)
    found = STATISTICS.findall(output)
    return seconds, {name: Step(int(run), int(skipped), float(saved)) for name, run, skipped, saved in found}


def row(name: str, calls_run: int, calls_skipped: int, seconds: float, seconds_saved: float) -> str:
    """Return one line of the table."""
    return f"{name:<8}{calls_run:>10,}{calls_skipped:>15,}{seconds:>8.1f} s{seconds_saved:>10.1f} s"


def totals(steps: dict[str, Step]) -> tuple[int, int, float]:
    """Return the calls run, the calls skipped and the seconds saved in all steps together."""
    return (
        sum(step.calls_run for step in steps.values()),
        sum(step.calls_skipped for step in steps.values()),
        sum(step.seconds_saved for step in steps.values()),
    )


def three_runs(command: list[str]) -> list[str]:
    """Make the three runs and print their figures.

    Returns:
        What was not as it should be.
    """
    first_seconds, finished_by_first = run_and_kill(command)
    second_seconds, second = run_to_the_end(command)
    third_seconds, third = run_to_the_end(command)
    second_run, second_skipped, second_saved = totals(second)
    third_run, third_skipped, third_saved = totals(third)

    # A killed process cannot say what it did. But all calls of a run have different ids, and nothing was
    # stored before the first run: what the second run skipped is what the first one had finished.
    print("run      calls run  calls skipped      time  time saved")
    print(row("killed", second_skipped, 0, first_seconds, 0.0))
    print(row("resumed", second_run, second_skipped, second_seconds, second_saved))
    print(row("third", third_run, third_skipped, third_seconds, third_saved))

    # The killed and the resumed run together did the work of one uninterrupted run. The resumed run also
    # started up once more and read what was finished; the third run did that and nothing else, for all
    # calls, so taking off its time takes off enough.
    uninterrupted_seconds = first_seconds + second_seconds - third_seconds
    speedup = uninterrupted_seconds / third_seconds
    print(f"\nan uninterrupted first run takes about {uninterrupted_seconds:.1f} s: killed + resumed - third")
    print(f"third run took 1/{speedup:.0f} of an uninterrupted first one")

    problems = []
    if second["keywords"].calls_skipped < finished_by_first:
        skipped = second["keywords"].calls_skipped
        problems.append(f"{finished_by_first} chunks had their keywords, but only {skipped} were skipped")
    if third_run:
        problems.append(f"the third run ran {third_run} calls")
    if speedup < REQUIRED_SPEEDUP:
        problems.append(f"the third run took more than 1/{REQUIRED_SPEEDUP} of an uninterrupted first one")
    return problems


def main() -> None:
    """Read the options, make the runs, and exit with 1 if something was not as it should be."""
    parser = argparse.ArgumentParser(description="Kill the pipeline part-way, resume it, run it once more.")
    parser.add_argument("--limit", type=int, help="read only this many documents (start-up weighs more then)")
    parser.add_argument("--temporary", action="store_true", help="keep the records in a temporary folder")
    options = parser.parse_args()

    # A new index name sees nothing that earlier runs stored: the first run has everything to do.
    command = [sys.executable, str(PIPELINE), "--index-name", time.strftime("kill-and-resume-%Y%m%d-%H%M%S")]
    if options.limit is not None:
        command += ["--limit", str(options.limit)]
    with tempfile.TemporaryDirectory() as folder:
        if options.temporary:
            os.environ["SKIPSTONE_ARTIFACTS_DIR"] = folder
        problems = three_runs(command)
    for problem in problems:
        print(f"FAILED: {problem}")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
