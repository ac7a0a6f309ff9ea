"""Accuracy."""

from __future__ import annotations

import numpy as np

from ltsi.metrics.terms import Floats, Labels, Terms, predicted


def accuracy(label_N: Labels, probability_N: Floats) -> Terms:
    """Counts the examples whose predicted class is theirs.

    `accuracy = (TP + TN) / N`; positive is predicted from a probability of 0.5 on. Where one class is rare, predicting
    the other for everybody is accurate: read it beside the share of positives, or read AUC.

    Args:
        label_N: whether each example is positive.
        probability_N: predicted probability of being positive.

    Returns:
        1 in the numerator where the prediction is right, 1 everywhere in the denominator.

    Example:
        >>> accuracy(np.array([True, False, False]), np.array([0.5, 0.4, 0.9])).value()
        0.6666666666666666
    """
    return Terms((predicted(probability_N) == label_N).astype(np.float64), np.ones(len(label_N)))
