"""Prices of American options by Monte Carlo, on a Dask cluster.

    pip install "skipstone[examples,dask]"
    python options/price.py                             # on this machine
    python options/price.py --scheduler host:8786       # on your cluster
    python options/price.py --paths 100000              # more exact: all are priced anew

Stop it whenever you like, and start it again: an option that was priced is not priced again, whichever worker did it. With
workers on other machines, let the results live where all see them: SKIPSTONE_STORE=file:///shared/checkpoints.
"""

import argparse
from dataclasses import dataclass

import numpy as np
from distributed import Client

from skipstone import cache_with_checkpoint, init_checkpoint


@dataclass(frozen=True)
class Put:
    """The right to sell a share for `strike` at any time within `years`."""

    strike: float
    volatility: float
    years: float


# A dataclass is its content: the same option is the same id in every process.
@cache_with_checkpoint(id="(put, paths)")
def price(
    put: Put, paths: int, *, spot: float = 100.0, rate: float = 0.05, steps: int = 50
) -> tuple[float, float]:
    """Return the price and its standard error.

    Source: F. Longstaff and E. Schwartz, Valuing American Options by Simulation, 2001.
    """
    random = np.random.default_rng(0)
    step = put.years / steps
    moves = random.normal((rate - put.volatility**2 / 2) * step, put.volatility * step**0.5, (steps, paths))
    shares = spot * np.exp(np.cumsum(moves, axis=0))
    worth = np.maximum(put.strike - shares[-1], 0)
    for share in shares[-2::-1]:  # back in time: sell now, or is it likely to be worth more later?
        worth *= np.exp(-rate * step)
        now = put.strike - share
        can_sell = now > 0
        if can_sell.sum() > 100:
            later = np.polynomial.Polynomial.fit(share[can_sell], worth[can_sell], 3)(share[can_sell])
            sells = np.flatnonzero(can_sell)[now[can_sell] > later]
            worth[sells] = now[sells]
    worth *= np.exp(-rate * step)
    return max(float(worth.mean()), put.strike - spot), float(worth.std() / paths**0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description="Price American options on a Dask cluster.")
    parser.add_argument("--scheduler", help="address of a Dask scheduler; none: begin a cluster on this machine")
    parser.add_argument("--paths", type=int, default=20_000, help="how many courses of the share are simulated")
    options = parser.parse_args()
    strikes = [80.0 + 5 * number for number in range(9)]
    lives = [0.25, 0.5, 1.0, 2.0]
    volatilities = [0.2, 0.4]
    puts = [Put(strike, volatility, years) for volatility in volatilities for strike in strikes for years in lives]

    checkpoint = init_checkpoint("price", {"artifacts_dir": "artifacts", "index_name": "american-puts"})
    with Client(options.scheduler) if options.scheduler else Client(dashboard_address="127.0.0.1:0") as client:
        print(f"{sum(client.nthreads().values())} threads at {client.scheduler.address}")
        prices = checkpoint.map(price, puts, [options.paths] * len(puts), executor="dask")
        table = dict(zip(puts, prices, strict=True))
        print(prices.summary())

    print("price, by strike (down) and years (across), at a volatility of", *volatilities)
    print(" " * 6 + "".join(f"{years:>8}" for _ in volatilities for years in lives))
    for strike in strikes:
        row = [table[Put(strike, volatility, years)][0] for volatility in volatilities for years in lives]
        print(f"{strike:>6}" + "".join(f"{each:>8.2f}" for each in row))
    print(f"standard error: {max(error for _, error in table.values()):.2f} at most")


if __name__ == "__main__":
    main()
