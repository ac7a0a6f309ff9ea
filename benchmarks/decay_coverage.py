"""Whether the return hazard can be trusted: coverage, bias and the contest of forms, on logs whose truth is planted.

    python benchmarks/decay_coverage.py [--seeds 20] [--first-seed 0] [--users 10000] [--forms exponential power ...]

Every seed is a log of its own: a renewal process of every user, drawn by inverting the cumulative hazard. All seeds of
a form are fitted side by side, as if they were entities; they share nothing. Printed for each form: the share of 95%
intervals (bootstrap over users, profile likelihood) that hold the first parameter (λ, or the exponent of a power law),
its bias with a standard error over seeds, the share of held-out contests that the planted form wins, each decided by
its seed alone, and who wins the others. Last comes a log that ends after a quarter of the half-life.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ltsi.decay.bootstrap import resampled_log_rates, user_weights
from ltsi.decay.contest import hold_contest
from ltsi.decay.estimators import estimate_forms
from ltsi.decay.families import POISSON
from ltsi.decay.forms import FORMS, Floats, Form, log_parameters
from ltsi.decay.likelihood import maximise
from ltsi.decay.profile import profile_interval
from ltsi.decay.statistics import ReturnStatistics, age_edges, collect
from ltsi.sequences.split import TrainingBlock

DAY, GAP = 86_400, 0.5
PLANTED = {
    "exponential": {"rate_per_day": 0.07, "amplitude": 0.12},
    "exponential_floor": {"rate_per_day": 0.14, "amplitude": 0.15, "floor": 0.006},
    "two_scale": {"rate_per_day": 0.5, "amplitude": 0.3, "slow_ratio": 0.04, "slow_amplitude": 0.03},
    "power": {"exponent": 0.8, "amplitude": 0.12},
    "power_cutoff": {"exponent": 0.6, "amplitude": 0.15, "rate_per_day": 0.03},
    "stretched": {"rate_per_day": 0.1, "amplitude": 0.2, "shape": 0.5},
    "hyperbolic": {"rate_per_day": 0.1, "amplitude": 0.1},
}
CENSORED_USERS = 200_000
"""So short a log says little of λ: with fewer users its error would hide a bias."""

RISE_DAYS = 3.0
"""Refill time of the forms with a rise; their amplitude is half as large again, to be seen as often."""


@dataclass(frozen=True)
class Truth:
    """A planted hazard, and for how long how many users are watched."""

    form: Form
    parameters: dict[str, float]
    users: int
    days: float

    @classmethod
    def of(cls, name: str, users: int, days: float = 180.0) -> Truth:
        """Takes what is planted for a form."""
        given = dict(PLANTED[name.removesuffix("_rise")])
        if name.endswith("_rise"):
            given |= {"rise_days": RISE_DAYS, "amplitude": 1.5 * given["amplitude"]}
        return cls(FORMS[name], given, users, days)

    def statistics(self, seeds: range) -> ReturnStatistics:
        """Draws one log for each seed and collects them side by side."""
        fine = GAP + np.concatenate([[0.0], np.geomspace(1e-4, self.days, 4000)])
        hazard = self.form.mean_hazard(log_parameters(self.form, self.parameters), fine)[0][0]
        spent = np.concatenate([[0.0], np.cumsum(hazard * np.diff(fine))])
        drawn = [self._visits(np.random.default_rng(seed), fine, spent) for seed in seeds]
        user, time_ = (np.concatenate([one[part] for one in drawn]) for part in (0, 1))
        item = np.repeat(np.arange(len(seeds)), [len(one[0]) for one in drawn])
        order = np.lexsort((time_, user))
        offsets = np.concatenate([[0], np.cumsum(np.bincount(user, minlength=self.users))]).astype(np.int64)
        block = TrainingBlock(
            0, offsets, item[order].astype(np.int32), time_[order], np.zeros(len(order), dtype=np.uint8)
        )
        end = np.full(self.users, int(self.days * DAY), dtype=np.int64)
        return collect([block], np.arange(len(seeds)), len(seeds), end, age_edges(GAP, self.days))

    def _visits(
        self, generator: np.random.Generator, age: Floats, spent: Floats
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        user, now = np.arange(self.users), generator.uniform(0, self.days, self.users)
        found = []
        while len(user):
            found.append((user, (now * DAY).astype(np.int64)))
            # Beyond the last cumulative hazard nobody comes back within the log.
            wait = np.interp(generator.exponential(size=len(user)), spent, age, right=np.inf)
            kept = now + wait < self.days
            user, now = user[kept], (now + wait)[kept]
        return np.concatenate([one for one, _ in found]), np.concatenate([one for _, one in found])


def measure(truth: Truth, seeds: range, replicates: int) -> dict[str, float | str]:
    """Fits every seed by the planted form and in the contest."""
    statistics, form = truth.statistics(seeds), truth.form
    everyone = np.arange(len(seeds))
    returns, exposure = (total[0] for total in statistics.totals())
    fits = estimate_forms("poisson", FORMS, returns, exposure, statistics.edges)
    fit, planted = fits[form.name], float(log_parameters(form, truth.parameters)[0, 0])
    weights = user_weights(statistics.n_groups, replicates, seed=seeds[0])
    drawn = resampled_log_rates(statistics, {form.name: fit.theta}, everyone, weights, "poisson", lambda _: None)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0, method="weibull")
    ones = np.ones(len(seeds))
    ends = profile_interval(form, fit, returns, exposure, statistics.edges, 0.95, ones, POISSON)
    contest = hold_contest(statistics, everyone, {name: one.theta for name, one in fits.items()}, POISSON, seeds[0])
    losers = Counter(name for name in contest.alone if name != form.name)
    ratio = np.exp(fit.theta[:, 0] - planted)
    return {
        "returns": float(returns.sum(-1).mean()),
        "bootstrap": float(np.mean((low <= planted) & (planted <= high))),
        "profile": float(np.mean((ends[0] <= planted) & (planted <= ends[1]))),
        "bias": float(ratio.mean() - 1),
        "error": float(ratio.std(ddof=1) / np.sqrt(len(ratio))),
        "won": contest.alone.count(form.name) / len(seeds),
        "lost_to": ", ".join(f"{name} {count}" for name, count in losers.most_common(3)),
    }


def censored(seeds: range) -> dict[str, float]:
    """Fits logs that end after a quarter of the half-life, and takes the mean observed age for the mean age."""
    rate, days = np.log(2) / 20.0, 5.0
    truth = Truth(FORMS["exponential"], {"rate_per_day": rate, "amplitude": 1.0}, CENSORED_USERS, days)
    ratios, naives = [], []
    for seed in seeds:
        statistics = truth.statistics(range(seed, seed + 1))
        returns, exposure = (total[0] for total in statistics.totals())
        fit = maximise(truth.form, returns, exposure, statistics.edges)
        middle = (statistics.edges[:-1] + statistics.edges[1:]) / 2
        ratios.append(float(np.exp(fit.theta[0, 0])) / rate)
        naives.append(float(returns.sum() / (returns * middle).sum()) / rate)
    ratio, naive = np.array(ratios), np.array(naives)
    return {
        "bias": float(ratio.mean() - 1),
        "error": float(ratio.std(ddof=1) / np.sqrt(len(ratio))),
        "naive_bias": float(naive.mean() - 1),
    }


def main() -> None:
    """Prints the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--forms", nargs="*", default=list(FORMS), choices=list(FORMS))
    parser.add_argument("--replicates", type=int, default=100)
    given = parser.parse_args()
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    print(f"{given.seeds} seeds, {given.users:,} users, {given.replicates} bootstrap replicates")
    print(f"{'form':24}{'returns':>9}{'bootstrap':>11}{'profile':>9}{'bias':>18}{'won':>7}  lost to")
    for name in given.forms:
        begin = time.perf_counter()
        one = measure(Truth.of(name, given.users), seeds, given.replicates)
        bias = f"{one['bias']:+.2%} ± {one['error']:.2%}"
        print(
            f"{name:24}{one['returns']:9,.0f}{one['bootstrap']:11.1%}{one['profile']:9.1%}{bias:>18}{one['won']:7.0%}"
            f"  {one['lost_to']}  ({time.perf_counter() - begin:.0f} s)",
            flush=True,
        )
    end = censored(seeds)
    print(
        f"log of a quarter of the half-life: bias of λ {end['bias']:+.2%} ± {end['error']:.2%}, "
        f"of the mean observed age {end['naive_bias']:+.0%}"
    )


if __name__ == "__main__":
    main()
