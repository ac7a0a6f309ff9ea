"""How fast the return hazard is fitted: a million (user, item) pairs, per category, with bootstrap, beside libraries.

    python benchmarks/decay.py [--pairs 1000000] [--categories 100] [--replicates 200]
    python benchmarks/decay.py --grow 1,10,100     # only the pass over logs of so many million events, out of core

The log is drawn in the proportions of UCI Online Retail (a year, a third of the events repeat an item of the user),
so that nothing needs to be downloaded. In one run on the same statistics:

- `ltsi`: one pass over the events, the fits of all categories, and the bootstrap over users with the form chosen anew;
- `scipy.optimize.curve_fit`: weighted least squares of each (item, all users) table alone, against the same objective
  for all of them side by side (`estimator=least_squares`);
- `statsmodels` GLM: Poisson regression of each table alone, with the exposure as offset, against the exponential by
  maximum likelihood. A GLM knows the hazard at the middle of a bin and not its mean over it, so offset and design also
  hold the logarithm of the ratio of the two and its slope; they depend on the rate, and the GLM is fitted again until
  it is settled. Time is shown for the first fit alone and for all of them.

With `--grow`, logs are drawn block by block, as a store hands them out, so none is ever in memory as a whole; the time
of drawing is not counted.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit

from ltsi.decay.estimate import fit_statistics
from ltsi.decay.estimators import estimate
from ltsi.decay.forms import FORMS, Floats
from ltsi.decay.result import FitOptions
from ltsi.decay.statistics import age_edges, collect
from ltsi.sequences.split import TrainingBlock

DAY, DAYS, GAP = 86_400, 374.0, 0.5
TABLES = 2_000
"""Tables that the libraries' fits are compared on; fewer of them are timed, and their time is per table."""

TIMED = 60
FORM = FORMS["exponential"]


def draw(pairs: int, users: int, items: int, seed: int = 0) -> TrainingBlock:
    """Draws a log of (user, item) renewal processes: most pairs occur once, the others come back."""
    generator = np.random.default_rng(seed)
    user = generator.integers(0, users, pairs)
    item = generator.choice(items, pairs, p=_zipf(items))
    rate = np.log(2) / generator.uniform(40, 120, items)
    found, now = [], generator.uniform(0, DAYS, pairs)
    while len(user):
        found.append((user, item, now))
        used = generator.exponential(size=len(user)) * rate[item] / 0.008
        fading = np.where(used < 1, -np.log1p(-np.minimum(used, 0.999999)) / rate[item], np.inf)
        now = now + GAP + np.minimum(fading, generator.exponential(1 / 0.001, len(user)))
        kept = now < DAYS
        user, item, now = user[kept], item[kept], now[kept]
    users_, items_, times = (np.concatenate(part) for part in zip(*found, strict=True))
    seconds = (times * DAY).astype(np.int64)
    order = np.lexsort((seconds, users_))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(users_, minlength=users))]).astype(np.int64)
    return TrainingBlock(
        0, offsets, items_[order].astype(np.int32), seconds[order], np.zeros(len(order), dtype=np.uint8)
    )


def _zipf(items: int) -> Floats:
    weight = 1.0 / (np.arange(items) + 30.0)
    chance: Floats = weight / weight.sum()
    return chance


def timed(run: Callable[[], Any]) -> tuple[Any, float, float]:
    """Returns the result, the seconds on the wall and the processor's seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    result = run()
    return result, time.perf_counter() - wall, time.process_time() - processor


def by_curve_fit(returns: Floats, exposure: Floats, edges: Floats) -> Floats:
    """Fits one table by weighted least squares: λ."""
    seen = exposure > 0

    def mean(_: Floats, rate: float, amplitude: float) -> Floats:
        value: Floats = -amplitude / rate * np.diff(np.exp(-rate * edges)) / np.diff(edges)
        return value[seen]

    overall = returns.sum() / exposure.sum()
    found, _ = curve_fit(
        mean,
        edges[:-1][seen],
        returns[seen] / exposure[seen],
        p0=(0.01, overall),
        sigma=exposure[seen] ** -0.5,
        xtol=1e-12,
        ftol=1e-12,
    )
    rate: Floats = found[:1]
    return rate


def by_glm(returns: Floats, exposure: Floats, edges: Floats) -> tuple[float, float, float]:
    """Fits one table by Poisson regression: λ, processor's seconds of the first fit, and of all until λ is settled."""
    from statsmodels.api import GLM
    from statsmodels.genmod.families import Poisson

    seen = exposure > 0
    middle, width = ((edges[:-1] + edges[1:]) / 2)[seen], np.diff(edges)[seen]
    rate, first, begin = 1e-4, 0.0, time.process_time()
    for fit in range(50):
        half = rate * width / 2
        bend, slope = np.log(np.sinh(half) / half), (1 / np.tanh(half) - 1 / half) * width / 2
        design = np.stack([np.ones(len(middle)), slope - middle], axis=1)
        model = GLM(returns[seen], design, family=Poisson(), offset=np.log(exposure[seen]) + bend - slope * rate)
        before, rate = rate, float(model.fit(tol=1e-12).params[1])
        first = time.process_time() - begin if fit == 0 else first
        if abs(rate - before) < 1e-9 * abs(rate):
            break
    return rate, first, time.process_time() - begin


def compare(returns: Floats, exposure: Floats, edges: Floats) -> None:
    """Prints the libraries' time per table beside ours, and how far the estimates are apart."""
    sample = np.linspace(0, len(returns) - 1, TIMED).astype(int)
    for name, estimator in (("curve_fit", "least_squares"), ("GLM", "poisson")):
        fit, _, ours = timed(partial(estimate, estimator, FORM, returns, exposure, edges, None, 1e-13))
        ours /= len(returns)
        theirs: list[float] = []
        seconds: list[float] = []
        wholes: list[float] = []
        for at in sample:
            if name == "GLM":
                rate, first, whole = by_glm(returns[at], exposure[at], edges)
                theirs.append(rate)
                seconds.append(first)
                wholes.append(whole)
            else:
                found, _, taken = timed(partial(by_curve_fit, returns[at], exposure[at], edges))
                theirs.append(float(found[0]))
                seconds.append(taken)
        apart: NDArray[np.float64] = np.abs(np.array(theirs) / np.exp(fit.theta[sample, 0]) - 1)
        # A rate that is next to zero in a log that shows no fall is not known to any digits.
        inside = ~fit.at_bound[sample].any(1) & (np.log(2) / np.exp(fit.theta[sample, 0]) < edges[-1])
        per = float(np.mean(seconds))
        again = f", until settled {np.mean(wholes) / ours:,.0f} x" if wholes else ""
        print(
            f"{name:10}{per * 1e3:9.3f} ms a table, ltsi {ours * 1e3:.4f} ms: {per / ours:,.0f} x{again}; "
            f"largest difference of {inside.sum()} rates {apart[inside].max():.1e}"
        )


class Drawn:
    """A log of about so many million events that is drawn block by block.

    Attributes:
        users: how many there are.
        events: drawn so far.
        seconds: of a processor, spent on drawing so far.
    """

    def __init__(self, millions: float, items: int) -> None:
        self.blocks, self.items = max(1, round(millions / 2)), items
        self.pairs = int(1e6 * millions / 2 / self.blocks)
        self.block_users = self.pairs // 60 + 1
        self.users = self.blocks * self.block_users
        self.events, self.seconds = 0, 0.0

    def __iter__(self) -> Iterator[TrainingBlock]:
        for at in range(self.blocks):
            begin = time.process_time()
            block = draw(self.pairs, self.block_users, self.items, seed=at)
            self.seconds += time.process_time() - begin
            self.events += len(block.item)
            yield replace(block, first_user=at * self.block_users)


def grow(sizes: Sequence[float], categories: int, replicates: int) -> None:
    """Prints a processor's seconds and memory of one pass over logs of so many million events, smallest first."""
    items = 4_000
    category, edges = np.random.default_rng(1).integers(0, categories, items), age_edges(GAP, DAYS)
    labels = [f"category {code}" for code in range(categories)]
    print("| M events | users | one pass, s | µs an event | fits and bootstrap, s | peak GB |\n" + "| ---: " * 6 + "|")
    for size in sorted(sizes):
        log = Drawn(size, items)
        end = np.full(log.users, int(DAYS * DAY), dtype=np.int64)
        statistics, _, passed = timed(partial(collect, log, category, categories, end, edges))
        _, _, fits = timed(partial(fit_statistics, statistics, labels, FitOptions(replicates=replicates)))
        peak, spent = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, passed - log.seconds
        millions = log.events / 1e6
        print(
            f"| {millions:.1f} | {log.users:,} | {spent:.1f} | {spent / millions:.2f} | {fits:.1f} | {peak:.2f} |",
            flush=True,
        )


def main() -> None:
    """Prints seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--categories", type=int, default=100)
    parser.add_argument("--replicates", type=int, default=200)
    parser.add_argument("--grow", help="millions of events, such as 1,10,100")
    given = parser.parse_args()
    if given.grow:
        grow([float(size) for size in given.grow.split(",")], given.categories, given.replicates)
        return
    users, items = given.pairs // 60 + 1, 4_000
    block = draw(given.pairs, users, items)
    end = np.full(users, int(DAYS * DAY), dtype=np.int64)
    edges = age_edges(GAP, DAYS)
    category = np.random.default_rng(1).integers(0, given.categories, items)
    print(f"load {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores; {given.pairs:,} pairs, {len(block.item):,} events")
    statistics, wall, processor = timed(lambda: collect([block], category, given.categories, end, edges))
    print(f"one pass          {wall:7.2f} s ({processor:.2f} s of a processor)")
    labels = [f"category {code}" for code in range(given.categories)]
    options = FitOptions(replicates=given.replicates)
    fit, more, processing = timed(lambda: fit_statistics(statistics, labels, options))
    print(f"fits and bootstrap{more:7.2f} s ({processing:.2f} s of a processor), {given.replicates} replicates")
    print(f"together          {wall + more:7.2f} s ({processor + processing:.2f} s of a processor)")
    print(f"fitted {sum(one.half_life_days is not None for one in fit.entities)} of {given.categories} categories")
    by_item = collect([block], np.arange(items), items, end, edges)
    most = np.argsort(-by_item.returning_users)[:TABLES]
    returns, exposure = (total[0] for total in by_item.totals(np.sort(most)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the libraries' own, on the way to a maximum
        compare(returns, exposure, edges)


if __name__ == "__main__":
    main()
