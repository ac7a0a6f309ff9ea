"""Metrics, one per file, by name. Some read ranks of targets, some labels of examples, others forecasts and what came.

- Of ranks (`ndcg@10`, `hr@10`, `mrr`, `mrr@10`): a function of the rank of each target, so ranking is done once and
  every metric is read off it.
- Of labels (`accuracy`, `precision`, `recall`, `f1`, `log_loss`, `gauc`, `auc`): all but `auc` are `Terms`, a ratio of
  two sums over examples, so users can be resampled.
- Of values (`mse`, `mae`, `mase`, `coverage`, `rmse`, `r2`): all but `rmse` and `r2` are `Terms`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ltsi.errors import ConfigError, DataError
from ltsi.metrics.accuracy import accuracy
from ltsi.metrics.auc import auc
from ltsi.metrics.coverage import coverage
from ltsi.metrics.f1 import f1
from ltsi.metrics.forecasts import Forecasts
from ltsi.metrics.gauc import gauc
from ltsi.metrics.hr import hit_rate
from ltsi.metrics.log_loss import log_loss
from ltsi.metrics.mae import mae
from ltsi.metrics.mase import mase
from ltsi.metrics.mrr import reciprocal_rank
from ltsi.metrics.mse import mse
from ltsi.metrics.ndcg import discounted_gain
from ltsi.metrics.precision import precision
from ltsi.metrics.r2 import r2
from ltsi.metrics.recall import recall
from ltsi.metrics.rmse import rmse
from ltsi.metrics.terms import Floats, Labels, Terms

__all__ = [
    "LABELS",
    "RANKS",
    "VALUES",
    "Forecasts",
    "Metric",
    "Terms",
    "accuracy",
    "auc",
    "coverage",
    "discounted_gain",
    "f1",
    "gauc",
    "hit_rate",
    "label_summary",
    "log_loss",
    "mae",
    "mase",
    "mse",
    "parse",
    "parse_all",
    "per_user",
    "precision",
    "r2",
    "recall",
    "reciprocal_rank",
    "rmse",
    "summary",
    "terms",
    "value_summary",
    "value_terms",
]

RANKS, LABELS, VALUES = "ranks", "labels", "values"
"""What a metric reads."""

_OF_RANKS: dict[str, Callable[..., NDArray[np.float64]]] = {
    "hr": hit_rate,
    "mrr": reciprocal_rank,
    "ndcg": discounted_gain,
}
_OF_LABELS: dict[str, Callable[..., Terms]] = {
    "accuracy": accuracy,
    "f1": f1,
    "gauc": gauc,
    "log_loss": log_loss,
    "precision": precision,
    "recall": recall,
}
_OF_VALUES: dict[str, Callable[[Forecasts], Terms]] = {"coverage": coverage, "mae": mae, "mase": mase, "mse": mse}
_WHOLE: dict[str, Callable[[Forecasts], float]] = {"r2": r2, "rmse": rmse}
_NAMES = {
    RANKS: sorted(_OF_RANKS),
    LABELS: sorted([*_OF_LABELS, "auc"]),
    VALUES: sorted([*_OF_VALUES, *_WHOLE]),
}
_READ = {RANKS: "the ranks of targets", LABELS: "labels and probabilities", VALUES: "forecasts"}
_WITHOUT_CUTOFF = frozenset({"mrr", *_NAMES[LABELS], *_NAMES[VALUES]})
_LOWER_IS_BETTER = frozenset({"log_loss", "mae", "mase", "mse", "rmse"})


@dataclass(frozen=True)
class Metric:
    """A metric by name and cut-off.

    Attributes:
        name: such as `ndcg` or `auc`.
        k: the cut-off, or None.
    """

    name: str
    k: int | None

    def __str__(self) -> str:
        return self.name if self.k is None else f"{self.name}@{self.k}"

    @property
    def reads(self) -> str:
        """`ranks`, `labels` or `values`."""
        return next(reads for reads, names in _NAMES.items() if self.name in names)

    @property
    def lower_is_better(self) -> bool:
        """Whether a better model has less of it."""
        return self.name in _LOWER_IS_BETTER

    @property
    def orders_models(self) -> bool:
        """Whether more, or less, of it is better: coverage shall be what the intervals promise, and no more."""
        return self.name != "coverage"

    def __call__(self, ranks: ArrayLike) -> NDArray[np.float64]:
        """Evaluates a metric of ranks for each target.

        Args:
            ranks: whole numbers `(N,)`, 1 is best.

        Returns:
            `(N,)`.

        Raises:
            ValueError: the ranks are not whole numbers from 1.
        """
        array = np.asarray(ranks)
        if not np.issubdtype(array.dtype, np.integer):
            raise ValueError(f"ranks must be whole numbers from 1, got {array.dtype}")
        if array.size and array.min() < 1:
            raise ValueError(f"ranks must be whole numbers from 1, got {array.min()}")
        arguments: dict[str, Any] = {} if self.k is None else {"k": self.k}
        return _OF_RANKS[self.name](array, **arguments)


def parse(name: object) -> Metric:
    """Reads the name of a metric.

    Args:
        name: `NAME@K`, or `NAME` where the metric needs no cut-off.

    Returns:
        The metric.

    Raises:
        ConfigError: there is no such metric, or its cut-off is missing, too much, or not a positive whole number.

    Example:
        >>> parse("ndcg@10")
        Metric(name='ndcg', k=10)
    """
    if not isinstance(name, str):
        given = "null" if name is None else name
        raise ConfigError(f"A metric is a name, such as ndcg@10, and {given} is none; correct metrics.")
    stem, at, cutoff = name.partition("@")
    every = [name for names in _NAMES.values() for name in names]
    if stem not in every:
        near = difflib.get_close_matches(stem.lower(), every, n=1)
        hint = f"did you mean '{near[0]}{at}{cutoff}'?" if near else f"there are: {', '.join(map(_written, every))}."
        raise ConfigError(f"There is no metric '{name}'; {hint}")
    if at and stem not in _NAMES[RANKS]:
        raise ConfigError(f"Metric '{name}' takes no cut-off: write '{stem}'.")
    if not at and stem not in _WITHOUT_CUTOFF:
        raise ConfigError(f"Metric '{name}' needs a cut-off, the length of the list: write '{name}@10'.")
    if at and not re.fullmatch(r"[1-9][0-9]*", cutoff):
        raise ConfigError(f"The cut-off of metric '{name}' must be a whole number from 1, as in '{stem}@10'.")
    return Metric(stem, int(cutoff) if at else None)


def parse_all(names: Iterable[str], reads: str, whose: str) -> tuple[str, ...]:
    """Reads names of metrics that must be of one sort, each once.

    Args:
        names: names of metrics.
        reads: `ranks`, `labels` or `values`.
        whose: who has these, as the subject of a sentence: "objective=click".

    Returns:
        The names, in their order.

    Raises:
        ConfigError: there is no such metric, or it reads what is not there.
    """
    metrics = dict.fromkeys(map(parse, names))
    for metric in metrics:
        if metric.reads != reads:
            fitting = ", ".join(map(_written, _NAMES[reads]))
            raise ConfigError(f"Metric '{metric}' does not fit: {whose} has {_READ[reads]}; there are: {fitting}.")
    return tuple(map(str, metrics))


def per_user(name: str, ranks: ArrayLike) -> NDArray[np.float64]:
    """Evaluates a metric of ranks for each target.

    Args:
        name: name of the metric, such as `ndcg@10`.
        ranks: whole numbers `(N,)`, rank of each user's target, 1 is best.

    Returns:
        `(N,)`.

    Raises:
        ConfigError: there is no such metric.

    Example:
        >>> per_user("hr@2", [1, 2, 3])
        array([1., 1., 0.])
    """
    return parse(name)(ranks)


def summary(ranks: ArrayLike, names: Iterable[str]) -> dict[str, float]:
    """Averages metrics of ranks over the targets.

    Args:
        ranks: whole numbers `(N,)`, 1 is best.
        names: names of the metrics.

    Returns:
        The mean of each metric by its name.

    Raises:
        ConfigError: there is no such metric.
        DataError: there is no target to average over.

    Example:
        >>> summary([1, 3], ["hr@1", "ndcg@10"])
        {'hr@1': 0.5, 'ndcg@10': 0.75}
    """
    array = np.asarray(ranks)
    if not array.size:
        raise DataError("There is no target to evaluate: this part of the split has no user; choose another split.")
    return {str(metric): float(metric(array).mean()) for metric in map(parse, names)}


def terms(name: str, label_N: Labels, probability_N: Floats, user_N: NDArray[np.int64]) -> Terms | None:
    """Evaluates a metric of labels for each example.

    Args:
        name: name of the metric, such as `log_loss`.
        label_N: whether each example is positive.
        probability_N: predicted probability of being positive.
        user_N: user of each example.

    Returns:
        The terms; None for `auc`, which compares examples of different users and is no ratio of sums.
    """
    if name == "auc":
        return None
    return gauc(label_N, probability_N, user_N) if name == "gauc" else _OF_LABELS[name](label_N, probability_N)


def label_summary(
    label_N: Labels, probability_N: Floats, user_N: NDArray[np.int64], names: Iterable[str]
) -> dict[str, float]:
    """Evaluates metrics of labels over all examples.

    Args:
        label_N: whether each example is positive.
        probability_N: predicted probability of being positive.
        user_N: user of each example.
        names: names of the metrics.

    Returns:
        Each metric by its name; NaN where it is not defined.

    Raises:
        ValueError: a probability is not between 0 and 1.

    Example:
        >>> label_summary(np.array([True, False]), np.array([0.9, 0.4]), np.array([0, 0]), ["recall", "auc"])
        {'recall': 1.0, 'auc': 1.0}
    """
    if not ((probability_N >= 0) & (probability_N <= 1)).all():
        raise ValueError("probabilities must lie between 0 and 1")
    found = {}
    for name in names:
        each = terms(name, label_N, probability_N, user_N)
        found[name] = auc(label_N, probability_N) if each is None else each.value()
    return found


def value_terms(name: str, forecasts: Forecasts) -> Terms | None:
    """Evaluates a metric of values for each forecast; None for `rmse` and `r2`, which are no ratio of sums."""
    return _OF_VALUES[name](forecasts) if name in _OF_VALUES else None


def value_summary(forecasts: Forecasts, names: Iterable[str]) -> dict[str, float]:
    """Evaluates metrics of values over all forecasts.

    Args:
        forecasts: the forecasts.
        names: names of the metrics.

    Returns:
        Each metric by its name; NaN where it is not defined.

    Example:
        >>> one = np.ones(2)
        >>> value_summary(Forecasts(2 * one, one, one, 0 * one, 3 * one, one), ["mae", "mase", "coverage"])
        {'mae': 1.0, 'mase': 1.0, 'coverage': 1.0}
    """
    found = {}
    for name in names:
        each = value_terms(name, forecasts)
        found[name] = _WHOLE[name](forecasts) if each is None else each.value()
    return found


def _written(name: str) -> str:
    return name if name in _WITHOUT_CUTOFF else f"{name}@K"
