"""Precision."""

from __future__ import annotations

import numpy as np

from ltsi.metrics.terms import Floats, Labels, Terms, predicted


def precision(label_N: Labels, probability_N: Floats) -> Terms:
    """Counts the positives among the examples that are predicted positive.

    `precision = TP / (TP + FP)`; positive is predicted from a probability of 0.5 on. If nothing is predicted positive
    there is no precision: the value is NaN.

    Args:
        label_N: whether each example is positive.
        probability_N: predicted probability of being positive.

    Returns:
        True positives over predicted positives.

    Example:
        >>> precision(np.array([True, False, True]), np.array([0.8, 0.9, 0.1])).value()
        0.5
    """
    positive_N = predicted(probability_N)
    return Terms((positive_N & label_N).astype(np.float64), positive_N.astype(np.float64))
