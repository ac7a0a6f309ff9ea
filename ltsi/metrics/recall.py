"""Recall."""

from __future__ import annotations

import numpy as np

from ltsi.metrics.terms import Floats, Labels, Terms, predicted


def recall(label_N: Labels, probability_N: Floats) -> Terms:
    """Counts the positives that are predicted positive.

    `recall = TP / (TP + FN)`; positive is predicted from a probability of 0.5 on. Without positives there is no recall:
    the value is NaN.

    Args:
        label_N: whether each example is positive.
        probability_N: predicted probability of being positive.

    Returns:
        True positives over positives.

    Example:
        >>> recall(np.array([True, False, True]), np.array([0.8, 0.9, 0.1])).value()
        0.5
    """
    return Terms((predicted(probability_N) & label_N).astype(np.float64), label_N.astype(np.float64))
