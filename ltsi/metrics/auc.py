"""Area under the ROC curve, of all examples and inside groups."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ltsi.metrics.terms import Floats, Labels


def auc(label_N: Labels, probability_N: Floats) -> float:
    """Returns the chance that a positive example is ranked above a negative one.

    `AUC = P(s⁺ > s⁻) + P(s⁺ = s⁻) / 2`, by ranks: `(Σ rank⁺ − n⁺ (n⁺ + 1) / 2) / (n⁺ n⁻)`; examples that tie share
    the mean of their ranks. Only the order of the probabilities counts. Positives of one user are compared with
    negatives of another: a model may earn it by knowing which users act often. With one class only there is none: NaN.

    Source: Hanley & McNeil, "The meaning and use of the area under a ROC curve", Radiology 1982 (Mann-Whitney).

    Args:
        label_N: whether each example is positive.
        probability_N: predicted probability of being positive, or any score that rises with it.

    Example:
        >>> auc(np.array([True, False, True, False]), np.array([0.9, 0.5, 0.5, 0.1]))
        0.875
    """
    return float(aucs(label_N, probability_N, np.zeros(len(label_N), dtype=np.int64), 1)[0])


def aucs(label_N: Labels, score_N: Floats, group_N: NDArray[np.int64], n_groups: int) -> Floats:
    """Returns the AUC inside each group, `(groups,)`; NaN for groups of one class.

    Args:
        label_N: whether each example is positive.
        score_N: what examples are ranked by.
        group_N: group of each example, below `n_groups`.
        n_groups: number of groups.
    """
    order = np.lexsort((score_N, group_N))
    label, score, group = label_N[order], score_N[order], group_N[order]
    begins = np.ones(len(order), dtype=bool)
    begins[1:] = (score[1:] != score[:-1]) | (group[1:] != group[:-1])
    first = np.flatnonzero(begins)
    size = np.diff(first, append=len(order))
    size_G, positive_G = (np.bincount(group, weights, n_groups) for weights in (None, label))
    # Ranks count from 1 inside a group; those tied share the mean of theirs.
    rank = np.repeat(first + (size + 1) / 2, size) - (np.cumsum(size_G) - size_G)[group]
    wins_G = np.bincount(group, rank * label, n_groups) - positive_G * (positive_G + 1) / 2
    pairs_G = positive_G * (size_G - positive_G)
    auc_G = np.full(n_groups, np.nan)
    np.divide(wins_G, pairs_G, out=auc_G, where=pairs_G > 0)
    return auc_G
