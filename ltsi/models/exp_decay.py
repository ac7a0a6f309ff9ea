"""A decayed memory of the user's own past: every interest fades as I(t) = I0 · exp(−λt).

Shape suffixes: B histories, L positions, I items, J items and padding, C categories,
N held-out events the weights are fitted on, M events before them.
Source: Ding & Li 2005, "Time Weight Collaborative Filtering" (fading interest).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import optimize
from torch import Tensor

from ltsi.decay.result import FitOptions
from ltsi.decay.return_decay import fit_return_decay
from ltsi.decay.statistics import SECONDS_PER_DAY
from ltsi.histories import Histories
from ltsi.models.interest import InterestModel
from ltsi.models.popularity import count_items, left_out_shares, shares_within
from ltsi.models.rates import AUTO, RateSource
from ltsi.sequences.batches import history_positions
from ltsi.sequences.last_targets import last_targets
from ltsi.sequences.rows import ragged
from ltsi.sequences.split import Split

FITTED_USERS = 50_000
"""Users whose last training target the weights are fitted on: two or three numbers need no more."""

FITTED_LENGTH = 50
"""Events before it that are looked at."""


class ExpDecay(InterestModel):
    """Each past event votes for its item and its category, with a weight that fades; popularity is the prior.

    `p(i) ∝ Σ_j exp(−λ_j · age_j) · [a · 1(i = i_j) + b · pop(i | c(j))] + pop(i)`, over the events j of the history.
    With no evidence left this is popularity; with fresh evidence it is the user's own items and categories.

    `λ` of an item is the return decay of its category, fitted on the training part (`ltsi.decay`), or that of a
    decay-fit. Without categories an interest is an interest in the item itself, and all items share one rate: few of
    them have returns enough for one of their own (on UCI Online Retail 19 % do, and ranking by such rates loses a sixth
    of validation NDCG@10). `a` and `b` are fitted by maximum likelihood of each user's last training target, given the
    events before it. In a log without a clock, age is counted in events and one `λ` is fitted together with them.

    Args:
        n_items: size of the catalogue.
        category: column of the item table; without such a column all items are of one category.
        decay: `auto`: `λ` is fitted on the training part; else the folder of a decay-fit, see `ltsi.models.rates`.
    """

    remembers = True
    category_J: Tensor
    rate_J: Tensor
    prior_I: Tensor
    within_I: Tensor
    weight_item: Tensor
    weight_category: Tensor

    def __init__(self, n_items: int, category: str = "category", decay: str = AUTO) -> None:
        super().__init__()
        self.decay = RateSource(decay)
        self.n_items, self.category = n_items, category
        self.register_buffer("category_J", torch.zeros(n_items + 1, dtype=torch.int64))
        self.register_buffer("rate_J", torch.zeros(n_items + 1))
        self.register_buffer("prior_I", torch.full((n_items,), 1.0 / n_items))
        self.register_buffer("within_I", torch.full((n_items,), 1.0 / n_items))
        self.register_buffer("weight_item", torch.tensor(1.0))
        self.register_buffer("weight_category", torch.tensor(0.0))

    def fit_statistics(self, split: Split) -> None:
        """Fits popularity, the rates and the two weights on the training part."""
        store, device = split.store, self.prior_I.device
        count_I = count_items(split).double()
        if self.category in store.items.columns:
            codes, labels = store.item_codes(self.category)
        else:
            codes, labels = np.zeros(store.n_items, dtype=np.int32), ["all items"]
        category_I = torch.from_numpy(codes.astype(np.int64))
        self.category_J = torch.cat([category_I, torch.zeros(1, dtype=torch.int64)]).to(device)
        self.prior_I = (count_I / count_I.sum()).float().to(device)
        self.within_I = shares_within(count_I, category_I).float().to(device)
        rate_I, given = None, self.decay.artefact()
        if given is not None:
            rate_I = given.item_rates_per_day(store) / SECONDS_PER_DAY
        elif store.has_clock:
            rate_I = _fit_rates(split, codes, labels)
        item, category, rate = _fit_weights(split, codes, rate_I, count_I.numpy())
        self.weight_item = torch.tensor(item, device=device)
        self.weight_category = torch.tensor(category, device=device)
        rate_I = np.full(store.n_items, rate) if rate_I is None else rate_I
        self.rate_J = torch.from_numpy(np.append(rate_I, 0.0)).float().to(device)

    def fading(self, histories: Histories) -> Tensor:
        """Returns what is left of each event, `exp(−λ · age)`, `(B, L)`; padding has nothing left."""
        age_BL = (histories.now_B[:, None] - histories.time_BL).clamp(min=0)
        left_BL = torch.exp(-self.rate_J[histories.item_BL] * age_BL)
        return left_BL * histories.real_BL()

    def evidence(self, score_BI: Tensor, mass_B: Tensor) -> Tensor:  # noqa: ARG002 - the sum says it all
        """Returns the logarithm of what is left of the user's past, beside a prior of one, `(B,)`."""
        return mass_B

    def forward(self, histories: Histories) -> Tensor:
        """Scores the catalogue; see `InterestModel.forward`."""
        left_BL = self.fading(histories)
        item_BJ = left_BL.new_zeros(len(histories), self.n_items + 1)
        item_BJ.scatter_add_(1, histories.item_BL, left_BL)
        score_BI = item_BJ[:, : self.n_items].mul_(self.weight_item)
        if self.weight_category > 0:
            category_BC = left_BL.new_zeros(len(histories), int(self.category_J.max()) + 1)
            category_BC.scatter_add_(1, self.category_J[histories.item_BL], left_BL)
            score_BI += category_BC[:, self.category_J[:-1]] * (self.within_I * self.weight_category)
        return (score_BI + self.prior_I).log()


def _fit_rates(split: Split, category_I: NDArray[np.int32], labels: Sequence[str]) -> NDArray[np.float64]:
    """Returns `λ` of each item, `(I,)`, per second."""
    options = FitOptions(replicates=0)
    if len(labels) > 1:
        rate_I = fit_return_decay(split, category_I, labels, options).rates_per_day()[category_I]
    else:
        items = split.store.items["item"].cast(str).to_list()
        rate_I = fit_return_decay(split, np.arange(len(items)), items, options).common_rate_per_day()
    return rate_I / SECONDS_PER_DAY


def _fit_weights(
    split: Split, category_I: NDArray[np.int32], rate_I: NDArray[np.float64] | None, count_I: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Fits the weights of item and category, and one rate where none are given, by maximum likelihood.

    Each user's last training target is predicted from the events before it. It is left out of the counts behind its own
    prior; else the fit would learn to trust a count that contains the answer.

    Returns:
        Weight of the item, weight of the category, rate per unit of time (0 if `rate_I` was given). All are 0 where no
        training target has a history: popularity is all there is.
    """
    store, roles = split.store, split.roles
    targets = last_targets(split).spread(FITTED_USERS)
    if not len(targets):
        return 0.0, 0.0, 0.0
    last_N = targets.event
    start, end = history_positions(store, targets, roles)
    row_M, position_M = ragged(np.maximum(start, end - FITTED_LENGTH), end)
    past_M = roles.row(position_M)
    target_N, item_M = store.item[last_N], store.item[past_M]
    age_M = np.maximum(store.time[last_N][row_M] - store.time[past_M], 0).astype(np.float64)
    same_item_M = item_M == target_N[row_M]
    same_category_M = category_I[item_M] == category_I[target_N][row_M]
    prior_N, within_N = left_out_shares(split, targets, count_I, category_I)

    def loss(theta: NDArray[np.float64]) -> float:
        weight_item, weight_category = np.exp(theta[:2])
        rate_M = np.exp(theta[2]) if rate_I is None else rate_I[item_M]
        left_M = np.exp(-rate_M * age_M)
        item_N, category_N, all_N = (
            np.bincount(row_M, weights=left_M * part, minlength=len(last_N))
            for part in (same_item_M, same_category_M, 1.0)
        )
        votes_N = weight_item * item_N + weight_category * category_N * within_N + prior_N
        return float(np.mean(np.log1p((weight_item + weight_category) * all_N) - np.log(votes_N)))

    # At the bounds a weight means "not at all" and "nothing else": beyond them the likelihood is flat.
    bounds = [(-12.0, 8.0), (-12.0, 8.0), (-8.0, 3.0)][: 3 if rate_I is None else 2]
    found = optimize.minimize(loss, [-2.0] * len(bounds), method="L-BFGS-B", bounds=bounds)
    best = [float(value) for value in np.exp(found.x)]
    return best[0], best[1], best[2] if rate_I is None else 0.0
