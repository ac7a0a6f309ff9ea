"""Log-loss."""

from __future__ import annotations

import numpy as np

from ltsi.metrics.terms import Floats, Labels, Terms


def log_loss(label_N: Labels, probability_N: Floats) -> Terms:
    """Returns how surprising each label is to the model, in nats.

    `log-loss = −1/N Σ [y log p + (1 − y) log(1 − p)]`, the two-class cross-entropy: the lower the better, and the only
    one of these metrics that asks for probabilities that are right. Who predicts the share of positives for everybody
    has its entropy. A probability is kept a float's precision (2.2e-16) away from 0 and 1, so one certain mistake costs
    36 and not infinity.

    Args:
        label_N: whether each example is positive.
        probability_N: predicted probability of being positive.

    Returns:
        The surprise in the numerator, 1 everywhere in the denominator.

    Example:
        >>> log_loss(np.array([True, False]), np.array([0.5, 0.5])).value()  # log 2
        0.6931471805599453
    """
    edge = np.finfo(np.float64).eps
    clipped_N = np.clip(probability_N, edge, 1 - edge)
    return Terms(-np.log(np.where(label_N, clipped_N, 1 - clipped_N)), np.ones(len(label_N)))
