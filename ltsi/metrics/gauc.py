"""Grouped AUC: the AUC inside each user's examples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ltsi.metrics.auc import aucs
from ltsi.metrics.terms import Floats, Labels, Terms


def gauc(label_N: Labels, probability_N: Floats, user_N: NDArray[np.int64]) -> Terms:
    """Averages the AUC of the users, each weighted by the number of their examples.

    `GAUC = Σ_u n_u AUC_u / Σ_u n_u`. What is compared is what one user was shown, as a recommender does; knowing who
    acts often earns nothing. Users whose examples are all of one class have no AUC and do not count; if no user has
    both classes there is no GAUC: NaN.

    Source: Zhu et al. 2017, "Optimized Cost per Click in Taobao Display Advertising", weighted by impressions as in
    Zhou et al. 2018 (DIN), section 6.

    Args:
        label_N: whether each example is positive.
        probability_N: predicted probability of being positive, or any score that rises with it.
        user_N: user of each example.

    Returns:
        The user's AUC at each example of a user with both classes, over 1; zeros for the others.

    Example:
        >>> label, user = np.array([True, False, False, True]), np.array([0, 0, 0, 1])
        >>> gauc(label, np.array([0.5, 0.1, 0.9, 0.2]), user).value()
        0.5
    """
    known, group_N = np.unique(user_N, return_inverse=True)
    auc_N = aucs(label_N, probability_N, group_N, len(known))[group_N]
    counts_N = ~np.isnan(auc_N)
    return Terms(np.where(counts_N, auc_N, 0.0), counts_N.astype(np.float64))
