"""What each user of a ledger adds to each metric of each model: what intervals and tests are made of.

Shape suffixes: E entries, M metrics, U users, N targets or examples, S seeds, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ltsi.evaluation.significance import bootstrap_means
from ltsi.metrics import auc, parse, terms, value_summary, value_terms
from ltsi.runs.folder import CLICK, INTENSITY
from ltsi.runs.ledger import Entry, Ledger

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class UserSums:
    """Metrics as ratios of two sums over users, `Σ numerator / Σ denominator`.

    Attributes:
        value_EM: the metrics.
        numerator_EMU: NaN for a metric that is no such ratio (`auc`).
        denominator_EMU: of a mean over targets, the number of each user's targets.
    """

    value_EM: Floats
    numerator_EMU: Floats
    denominator_EMU: Floats

    def paired(self, metric: int) -> bool:
        """Returns whether a metric divides by the same in every model, so that users' differences can be tested."""
        denominator_EU = self.denominator_EMU[:, metric]
        whole = not np.isnan(self.numerator_EMU[:, metric]).any() and bool(denominator_EU.any())
        return whole and bool((denominator_EU == denominator_EU[0]).all())

    def replicates(self, n_replicates: int) -> Floats:
        """Returns the metrics of resampled users, `(R, E, M)`; NaN where there is nothing to divide by."""
        shape = self.value_EM.shape
        numerator_CU = self.numerator_EMU.reshape(-1, self.numerator_EMU.shape[2])
        # Most metrics of most models divide by the same: resampled once.
        divisor_DU, of_C = np.unique(self.denominator_EMU.reshape(numerator_CU.shape), axis=0, return_inverse=True)
        mean_RX = bootstrap_means(np.concatenate([numerator_CU, divisor_DU]).T, n_replicates)
        numerator_RC, divisor_RD = mean_RX[:, : len(numerator_CU)], mean_RX[:, len(numerator_CU) :]
        return _ratio(numerator_RC, divisor_RD[:, of_C.ravel()]).reshape(n_replicates, *shape)


def user_sums(ledger: Ledger, names: Sequence[str]) -> UserSums:
    """Evaluates metrics; the seeds of a model are averaged for each user.

    Args:
        ledger: the runs.
        names: metrics that fit the ledger's objective.

    Raises:
        RunError: a run's answers are missing, unreadable, or to other questions.
    """
    of = {CLICK: _of_examples, INTENSITY: _of_forecasts}.get(ledger.objective, _of_targets)
    found = [of(ledger, entry, names) for entry in ledger.entries]
    value_EM, numerator_EMU, denominator_EMU = (np.stack(column) for column in zip(*found, strict=True))
    return UserSums(value_EM, numerator_EMU, denominator_EMU)


def _of_targets(ledger: Ledger, entry: Entry, names: Sequence[str]) -> tuple[Floats, Floats, Floats]:
    rank_SN = ledger.ranks(entry)
    metric_MN = np.stack([parse(name)(rank_SN).mean(axis=0) for name in names])
    numerator_MU = np.add.reduceat(metric_MN, ledger.first_targets, axis=1)
    count_U = np.diff(np.append(ledger.first_targets, ledger.n_targets)).astype(np.float64)
    return numerator_MU.sum(axis=1) / count_U.sum(), numerator_MU, np.tile(count_U, (len(names), 1))


def _of_examples(ledger: Ledger, entry: Entry, names: Sequence[str]) -> tuple[Floats, Floats, Floats]:
    first, label_N = ledger.first_targets, ledger.labels
    user_N = np.repeat(np.arange(len(first)), np.diff(np.append(first, ledger.n_targets)))
    probability_SN = ledger.probabilities(entry)
    value_M = np.empty(len(names))
    numerator_MU, denominator_MU = (np.full((len(names), len(first)), np.nan) for _ in range(2))
    for m, name in enumerate(names):
        per_seed = [terms(name, label_N, probability_N, user_N) for probability_N in probability_SN]
        whole = [each for each in per_seed if each is not None]
        if len(whole) < len(per_seed):
            value_M[m] = np.mean([auc(label_N, probability_N) for probability_N in probability_SN])
            denominator_MU[m] = 0
            continue
        numerator_SU = np.stack([np.add.reduceat(each.numerator_N, first) for each in whole])
        denominator_SU = np.stack([np.add.reduceat(each.denominator_N, first) for each in whole])
        numerator_MU[m], denominator_MU[m] = _mean_of_ratios(numerator_SU, denominator_SU)
        value_M[m] = _ratio(numerator_MU[m].sum(), denominator_MU[m].sum())
    return value_M, numerator_MU, denominator_MU


def _mean_of_ratios(numerator_SU: Floats, denominator_SU: Floats) -> tuple[Floats, Floats]:
    """Returns sums over users whose ratio is the mean of the seeds' ratios, `(U,)` each.

    Where each seed divides by something else (precision), a user adds what that user adds to the mean of the ratios to
    first order (the delta method): resampled users then move the one as they move the other.
    """
    if (denominator_SU == denominator_SU[0]).all():
        return numerator_SU.mean(axis=0), denominator_SU[0]
    whole_S1 = denominator_SU.sum(axis=1, keepdims=True)
    ratio_S1 = _ratio(numerator_SU.sum(axis=1, keepdims=True), whole_S1)
    share_U = _ratio(denominator_SU, whole_S1).mean(axis=0)
    further_U = _ratio(numerator_SU - ratio_S1 * denominator_SU, whole_S1).mean(axis=0)
    return further_U + ratio_S1.mean() * share_U, share_U


def _of_forecasts(ledger: Ledger, entry: Entry, names: Sequence[str]) -> tuple[Floats, Floats, Floats]:
    first, forecasts = ledger.first_targets, ledger.forecasts(entry)
    value_M = np.empty(len(names))
    numerator_MU, denominator_MU = (np.full((len(names), len(first)), np.nan) for _ in range(2))
    for m, name in enumerate(names):
        per_seed = [value_terms(name, each) for each in forecasts]
        whole = [each for each in per_seed if each is not None]
        value_M[m] = np.mean([value_summary(each, [name])[name] for each in forecasts])
        if len(whole) < len(per_seed):
            denominator_MU[m] = 0
            continue
        numerator_MU[m] = np.add.reduceat(np.mean([each.numerator_N for each in whole], axis=0), first)
        denominator_MU[m] = np.add.reduceat(np.mean([each.denominator_N for each in whole], axis=0), first)
    return value_M, numerator_MU, denominator_MU


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(numerator / denominator)
