"""Ranking metrics, one per file, by name: `ndcg@10`, `hr@10`, `mrr`, `mrr@10`.

A metric is a function of the rank of each target, so ranking is done once and every metric is read off it.
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
from ltsi.metrics.hr import hit_rate
from ltsi.metrics.mrr import reciprocal_rank
from ltsi.metrics.ndcg import discounted_gain

__all__ = ["Metric", "discounted_gain", "hit_rate", "parse", "per_user", "reciprocal_rank", "summary"]

_FUNCTIONS: dict[str, Callable[..., NDArray[np.float64]]] = {
    "hr": hit_rate,
    "mrr": reciprocal_rank,
    "ndcg": discounted_gain,
}
_WITHOUT_CUTOFF = frozenset({"mrr"})


@dataclass(frozen=True)
class Metric:
    """A metric by name and cut-off.

    Attributes:
        name: `hr`, `mrr` or `ndcg`.
        k: the cut-off, or None.
    """

    name: str
    k: int | None

    def __str__(self) -> str:
        return self.name if self.k is None else f"{self.name}@{self.k}"

    def __call__(self, ranks: ArrayLike) -> NDArray[np.float64]:
        """Evaluates the metric for each target.

        Args:
            ranks: whole numbers `(N,)`, 1 is best.

        Returns:
            `(N,)`.

        Raises:
            ValueError: the ranks are not whole numbers from 1.
        """
        array = np.asarray(ranks)
        if not np.issubdtype(array.dtype, np.integer) or (array.size and array.min() < 1):
            raise ValueError(f"ranks must be whole numbers from 1, got {array.dtype} from {array.min()}")
        arguments: dict[str, Any] = {} if self.k is None else {"k": self.k}
        return _FUNCTIONS[self.name](array, **arguments)


def parse(name: str) -> Metric:
    """Reads the name of a metric.

    Args:
        name: `NAME@K`, or `NAME` where the metric needs no cut-off.

    Returns:
        The metric.

    Raises:
        ConfigError: there is no such metric, or its cut-off is missing or not a positive whole number.

    Example:
        >>> parse("ndcg@10")
        Metric(name='ndcg', k=10)
    """
    stem, at, cutoff = name.partition("@")
    if stem not in _FUNCTIONS:
        near = difflib.get_close_matches(stem.lower(), _FUNCTIONS, n=1)
        hint = f"did you mean '{near[0]}{at}{cutoff}'?" if near else f"there are: {', '.join(_known())}."
        raise ConfigError(f"There is no metric '{name}'; {hint}")
    if not at and stem not in _WITHOUT_CUTOFF:
        raise ConfigError(f"Metric '{name}' needs a cut-off, the length of the list: write '{name}@10'.")
    if at and not re.fullmatch(r"[1-9][0-9]*", cutoff):
        raise ConfigError(f"The cut-off of metric '{name}' must be a whole number from 1, as in '{stem}@10'.")
    return Metric(stem, int(cutoff) if at else None)


def per_user(name: str, ranks: ArrayLike) -> NDArray[np.float64]:
    """Evaluates a metric for each target.

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
    """Averages metrics over the targets.

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


def _known() -> list[str]:
    return [name if name in _WITHOUT_CUTOFF else f"{name}@K" for name in sorted(_FUNCTIONS)]
