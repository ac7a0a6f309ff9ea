"""How much of a difference is chance: intervals over users, paired tests, and the price of testing many models.

The users are the sample: what is asked is what the same models would show on other users of the same population.
Chance between trainings is averaged out beforehand, by giving each user the mean over the seeds.

Shapes: N users, M models (or models by metrics), R replicates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Elements of one block of resampled users: bounds the memory, whatever the number of users.
_BLOCK_ELEMENTS = 2**22
# Sums of the same numbers in another order differ in the last digits; a tie must count as one.
_RELATIVE_ERROR = 1e-9


def bootstrap_means(values: NDArray[np.float64], replicates: int = 1000, seed: int = 0) -> NDArray[np.float64]:
    """Returns the means of resampled users, the same users for every column.

    Because a replicate holds the same users in every column, the spread of a difference or ratio of two columns is that
    of a paired comparison.

    Source: Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 6 and 13.

    Args:
        values: `(N, M)`, a metric of each user under each model.
        replicates: number of resamples R.
        seed: fixes the resamples.

    Returns:
        `(R, M)`.

    Raises:
        ValueError: there is no user.
    """
    n_users, n_columns = values.shape
    if not n_users:
        raise ValueError("no user to resample")
    rng = np.random.default_rng(seed)
    means = np.empty((replicates, n_columns))
    block = max(1, _BLOCK_ELEMENTS // n_users)
    for first in range(0, replicates, block):
        size = min(block, replicates - first)
        drawn = rng.integers(0, n_users, size=(size, n_users), dtype=np.int64)
        # How often each user was drawn turns a resample into one row of a matrix product.
        counts = np.bincount((drawn + np.arange(size)[:, None] * n_users).ravel(), minlength=size * n_users)
        means[first : first + size] = counts.reshape(size, n_users) @ values / n_users
    return means


def percentile_interval(
    replicates: NDArray[np.float64], level: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the central percentile interval of bootstrap replicates.

    Args:
        replicates: `(R, M)`.
        level: share of the replicates inside the interval.

    Returns:
        Lower and upper bounds, `(M,)` each.
    """
    low, high = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def paired_p_values(differences: NDArray[np.float64], flips: int = 10_000, seed: int = 0) -> NDArray[np.float64]:
    """Tests whether paired differences have mean zero, by flipping their signs (two-sided).

    If two models were exchangeable, each user's difference could as well have had the other sign. The p-value is the
    share of random sign assignments, the observed one among them, whose mean is at least as far from zero:
    `p = (1 + #{|mean*| ≥ |mean|}) / (1 + flips)`. It is never zero, and it is exact for any distribution of the
    metric. All columns share the assignments.

    Source: Fisher's randomisation test as in Smucker, Allan & Carterette, "A comparison of statistical significance
    tests for information retrieval evaluation", CIKM 2007, section 3.1; the added one after Phipson & Smyth 2010.

    Args:
        differences: `(N, M)`, a user's metric under a model minus the same under the baseline.
        flips: number of random assignments.
        seed: fixes the assignments.

    Returns:
        `(M,)`, in (0, 1].

    Raises:
        ValueError: there is no user.
    """
    if not len(differences):
        raise ValueError("no user to test")
    # A user without a difference has nothing to flip; with metrics cut off at 10 that is most of them.
    differences = differences[differences.any(axis=1)]
    n_users, n_columns = differences.shape
    if not n_users:
        return np.ones(n_columns)
    rng = np.random.default_rng(seed)
    total = differences.sum(axis=0)
    threshold = np.abs(total) - _RELATIVE_ERROR * np.abs(differences).sum(axis=0)
    as_far = np.zeros(n_columns, dtype=np.int64)
    block, n_bytes = max(1, _BLOCK_ELEMENTS // n_users), -(-n_users // 8)
    for first in range(0, flips, block):
        size = min(block, flips - first)
        packed = np.frombuffer(rng.bytes(size * n_bytes), dtype=np.uint8).reshape(size, n_bytes)
        kept = np.unpackbits(packed, axis=1, count=n_users)
        flipped_total = 2 * (kept @ differences) - total
        as_far += (np.abs(flipped_total) >= threshold).sum(axis=0)
    return (1 + as_far) / (1 + flips)


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corrects p-values for testing several models at once (step-down Bonferroni).

    The chance that any true null hypothesis is rejected stays below the level at which the corrected values are read,
    however the tests depend on each other. With sorted `p_(1) ≤ ... ≤ p_(M)` the corrected value is
    `max over j ≤ i of min(1, (M − j + 1) · p_(j))`.

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statistics 1979.

    Args:
        p_values: `(M,)`.

    Returns:
        `(M,)`, in the order given.

    Example:
        >>> holm(np.array([0.03, 0.01, 0.04]))
        array([0.06, 0.03, 0.06])
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.maximum.accumulate(np.minimum(1.0, factors * p_values[order]))
    return corrected
