"""F1."""

from __future__ import annotations

import numpy as np

from ltsi.metrics.terms import Floats, Labels, Terms, predicted


def f1(label_N: Labels, probability_N: Floats) -> Terms:
    """Returns the harmonic mean of precision and recall, in counts.

    `F1 = 2 · precision · recall / (precision + recall) = 2 TP / (2 TP + FP + FN)`; positive is predicted from a
    probability of 0.5 on. In counts it is 0 where nothing is predicted positive though there are positives, and NaN
    only where there is neither.

    Args:
        label_N: whether each example is positive.
        probability_N: predicted probability of being positive.

    Returns:
        Twice the true positives over positives and predicted positives.

    Example:
        >>> f1(np.array([True, False, True]), np.array([0.8, 0.9, 0.1])).value()
        0.5
    """
    positive_N = predicted(probability_N)
    right_N = (positive_N & label_N).astype(np.float64)
    return Terms(right_N * 2, positive_N.astype(np.float64) + label_N)
