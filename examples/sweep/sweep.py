"""A parameter sweep of a simulation, in processes: an epidemic among people who meet at random.

pip install "skipstone[examples]"
python sweep/sweep.py               # stop it whenever you like, and start it again
python sweep/sweep.py --rates 8     # more values of each parameter: only the new points are run
python sweep/sweep.py --seeds 20    # more repetitions: only the new ones are run
"""

import argparse
import functools
import itertools
import statistics

import numpy as np

from skipstone import cache_with_checkpoint, init_checkpoint

PEOPLE = 500_000


# No id: the content of all arguments identifies a call.
@cache_with_checkpoint
def simulate(meetings_per_day: float, days_ill: float, seed: int, *, people: int = PEOPLE) -> dict[str, float]:
    """Return the shares of people who fell ill in all, and at the worst moment, and how many days it took."""
    random = np.random.default_rng(seed)
    healthy = np.ones(people, dtype=bool)
    ill = np.arange(10)
    healthy[ill] = False
    worst = days = 0
    while len(ill):
        met = random.integers(people, size=random.poisson(meetings_per_day * len(ill)))
        infected = np.unique(met[healthy[met]])
        healthy[infected] = False
        ill = np.concatenate([ill[random.random(len(ill)) >= 1 / days_ill], infected])
        worst, days = max(worst, len(ill)), days + 1
    return {"ill": 1 - float(healthy.mean()), "worst": worst / people, "days": days}


def main() -> None:
    parser = argparse.ArgumentParser(description="Sweep the parameters of an epidemic.")
    parser.add_argument("--rates", type=int, default=4, help="values of each parameter")
    parser.add_argument("--seeds", type=int, default=10, help="repetitions of each point")
    options = parser.parse_args()
    meetings = [round(0.1 * 1.6**number, 3) for number in range(options.rates)]
    days = [2.0 * (number + 1) for number in range(options.rates)]
    points = list(itertools.product(meetings, days, range(options.seeds)))

    checkpoint = init_checkpoint("sweep", {"artifacts_dir": "artifacts", "index_name": "epidemic"})
    print(checkpoint.plan(simulate, *zip(*points, strict=True)))
    results = checkpoint.map(simulate, *zip(*points, strict=True), executor="processes")
    shares: dict[tuple[float, float], list[float]] = {}
    for (rate, length, _), result in zip(points, results, strict=True):
        shares.setdefault((rate, length), []).append(result["ill"])
    print(results.summary())

    print("\nshare of people who fall ill, by meetings a day (down) and days of illness (across)")
    print(" " * 8 + "".join(f"{length:>8}" for length in days))
    cell = functools.partial("{:>8.0%}".format)
    for rate in meetings:
        print(f"{rate:>8}" + "".join(cell(statistics.mean(shares[rate, length])) for length in days))


if __name__ == "__main__":
    main()
