"""What a user took comes back at a rate that goes by how often and how long ago it was taken: repeat consumption.

Shape suffixes: B histories, L positions, I items, J items and padding, C categories, F parts of a log-rate,
N targets the rates are fitted on, M interests in the histories before them.
Sources: Anderson et al. 2014, "The Dynamics of Repeat Consumption" (recency and how often, for the same item); the
curve over age is that of the lognormal distribution, which can rise before it falls.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import optimize
from torch import Tensor, nn
from torch.nn import functional

from ltsi.histories import Histories
from ltsi.models.interest import InterestModel
from ltsi.models.popularity import count_items, left_out_shares, shares_within
from ltsi.sequences.batches import RankingBatches, history_length
from ltsi.sequences.last_targets import last_targets
from ltsi.sequences.split import Split, Targets

FITTED_USERS = 20_000
"""Users whose last training target the rates are fitted on, at most: ten numbers need no more."""

FITTED_LENGTH = 1_000
"""Inputs before it that are looked at. What a network is shown would cut off how often a thing was taken: fitted on 50
events of Online Retail, the rates rank its validation part 2 % worse."""

FITTED_EVENTS = 4_000_000
"""The same of all these users together."""

NEVER = -30.0
"""Logarithm of a rate that is as good as none."""

PULL = 0.01
"""Of all weights but θ0 to zero, in users: what a log tells nothing about stays there."""

LEAST_SPREAD = 0.1
"""Of log-ages: where they differ by less, age tells nothing, and the scale is that of the logarithm itself."""


class ReturnHazard(InterestModel):
    """`p(i) ∝ h(i) + g(c(i)) · pop(i | c(i)) + pop(i)`: returns to an item, returns to its category, popularity.

    `log h = θ0 + θ1 · log m + θ2 · z + θ3 · z² + θ4 · [now]` for an item of the history that was taken at `m` moments,
    with `z` the standardised logarithm of the time since the last of them, and whether that is this very moment.
    Likewise `g` for a category, with weights of its own. The weights are fitted by maximum likelihood of each user's
    last training target, given the inputs before it. In a log without a clock, time is counted in events.

    Where `exp_decay` adds up what is left of every event, this asks how often and how long ago, and lets the log say
    what either is worth: the rate may grow with age before it falls, as of what is used up, and a fourth time may add
    less than a second.

    Args:
        n_items: size of the catalogue.
        category: column of the item table; without such a column there are no returns to categories.
    """

    remembers = True
    category_J: Tensor
    prior_I: Tensor
    within_I: Tensor

    def __init__(self, n_items: int, category: str = "category") -> None:
        super().__init__()
        self.n_items, self.category = n_items, category
        self.register_buffer("category_J", torch.zeros(n_items + 1, dtype=torch.int64))
        self.register_buffer("prior_I", torch.full((n_items,), 1.0 / n_items))
        self.register_buffer("within_I", torch.full((n_items,), 1.0 / n_items))
        self.of_items, self.of_categories = ReturnRates(), ReturnRates()

    def fit_statistics(self, split: Split) -> None:
        """Fits popularity and the rates of return on the training part."""
        store, device = split.store, self.prior_I.device
        count_I, codes, n_categories = count_items(split).double(), np.zeros(self.n_items, dtype=np.int64), 0
        if self.category in store.items.columns:
            found, labels = store.item_codes(self.category)
            codes, n_categories = found.astype(np.int64), len(labels)
        category_I = torch.from_numpy(codes)
        self.category_J = torch.cat([category_I, torch.tensor([n_categories])]).to(device)
        self.within_I = shares_within(count_I, category_I).float().to(device)
        self.prior_I = (count_I / count_I.sum()).float().to(device)
        _fit([self.of_items, self.of_categories], split, codes, n_categories, count_I.numpy())

    def forward(self, histories: Histories) -> Tensor:
        """Scores the catalogue; see `InterestModel.forward`."""
        score_BI: Tensor = self.of_items(histories.item_BL, self.n_items, histories)
        if self.of_categories.known:
            rate_BC = self.of_categories(self.category_J[histories.item_BL], int(self.category_J[-1]), histories)
            score_BI += rate_BC[:, self.category_J[:-1]] * self.within_I
        return (score_BI + self.prior_I).log()

    def evidence(self, score_BI: Tensor, mass_B: Tensor) -> Tensor:  # noqa: ARG002 - the sum says it all
        """Returns the logarithm of all rates of return beside a prior of one, `(B,)`."""
        return mass_B


class ReturnRates(nn.Module):
    """The rates at which items, or categories, come back: five weights, and the ages they were fitted on.

    Attributes:
        weight_F: θ.
        age: mean and standard deviation of the log-ages; the lowest and the highest standardised one that are told
            from those beyond them.
    """

    weight_F: Tensor
    age: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight_F", torch.tensor([NEVER, 0.0, 0.0, 0.0, 0.0]))
        self.register_buffer("age", torch.tensor([0.0, 1.0, 0.0, 0.0]))

    @property
    def known(self) -> bool:
        """Whether anything comes back."""
        return float(self.weight_F[0]) > NEVER

    def forward(self, key_BL: Tensor, n_keys: int, histories: Histories) -> Tensor:
        """Returns the rate of each key, `(B, n_keys)`: 0 of what is not in the history."""
        last_BL, moments_BL, time_BL = interests(key_BL, n_keys, histories.time_BL)
        rate_BL = (self.parts(histories.now_B[:, None] - time_BL, moments_BL) * self.weight_F).sum(dim=2).exp()
        rate_BJ = rate_BL.new_zeros(len(histories), n_keys + 1)
        return rate_BJ.scatter_(1, last_BL, rate_BL)[:, :n_keys]

    def parts(self, age: Tensor, moments: Tensor) -> Tensor:
        """Returns what a log-rate is a weighted sum of, float32 `(..., F)`."""
        mean, spread, lowest, highest = self.age.to(age.device).double().unbind()
        z = ((age.clamp(min=1).double().log() - mean) / spread).clamp(lowest, highest)
        return torch.stack([torch.ones_like(z), moments.double().log(), z, z**2, (age <= 0).double()], dim=-1).float()

    def look_at(self, age_M: Tensor) -> None:
        """Takes the scale of ages from those of some interests, of which those of this very moment have none."""
        log_age_M = age_M[age_M > 0].double().log()
        if len(log_age_M):
            mean, spread = log_age_M.mean(), log_age_M.std(correction=0)
            spread = spread if spread > LEAST_SPREAD else torch.ones_like(spread)
            ends = ((log_age_M.min() - mean) / spread, (log_age_M.max() - mean) / spread)
            self.age = torch.stack([mean, spread, *ends]).float().to(self.age.device)

    def take(self, weight_F: NDArray[np.float64]) -> None:
        """Takes the weights. Beyond the highest age the curve goes on only if it falls there."""
        self.weight_F = torch.from_numpy(weight_F).float().to(self.weight_F.device)
        if weight_F[2] + 2 * weight_F[3] * float(self.age[3]) < 0:
            self.age[3] = torch.inf


def interests(key_BL: Tensor, n_keys: int, time_BL: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gathers the events of each history by what they are of.

    Args:
        key_BL: what each event is of, int64; padding is `n_keys`.
        n_keys: how many there are.
        time_BL: when it was, never falling within a history.

    Returns:
        `(B, L)` each, sorted by key: the key, at its last event only, else padding; the number of different moments up
        to there; the time.
    """
    key_BL, order_BL = key_BL.sort(dim=1, stable=True)
    time_BL = time_BL.gather(1, order_BL)
    same = key_BL[:, 1:] == key_BL[:, :-1]
    another = functional.pad(~same | (time_BL[:, 1:] != time_BL[:, :-1]), (1, 0), value=True)
    running_BL = another.cumsum(dim=1)
    begins = functional.pad(~same, (1, 0), value=True)
    before_BL = (running_BL - 1).where(begins, 0).cummax(dim=1).values
    ends = functional.pad(~same, (0, 1), value=True)
    return key_BL.where(ends, n_keys), running_BL - before_BL, time_BL


@dataclass(frozen=True)
class _Interests:
    """The interests in the histories of `N` targets.

    Attributes:
        row_M: which target.
        part_MF: parts of the log-rate.
        hit_M: what a return to it is worth: the target's share of it, 0 for others.
    """

    row_M: NDArray[np.int64]
    part_MF: NDArray[np.float64]
    hit_M: NDArray[np.float64]


def _fit(
    kinds: list[ReturnRates],
    split: Split,
    category_I: NDArray[np.int64],
    n_categories: int,
    count_I: NDArray[np.float64],
) -> None:
    """Fits the rates of items and, where there are any, of categories by maximum likelihood."""
    targets = last_targets(split)
    if not len(targets):
        return
    length = np.minimum(history_length(split.store, targets, split.roles), FITTED_LENGTH)
    targets = targets.spread(min(FITTED_USERS, int(FITTED_EVENTS / length.mean())))
    item_N = split.store.item[targets.event]
    prior_N, within_N = left_out_shares(split, targets, count_I, category_I)
    held = [_gather(kinds[0], split, targets, None, len(count_I), item_N, np.ones(len(targets)))]
    if n_categories:
        category_J = torch.from_numpy(np.append(category_I, n_categories))
        held.append(_gather(kinds[1], split, targets, category_J, n_categories, category_I[item_N], within_N))
    # θ3 is not above 0: the curve over age does not turn up again.
    start, bounds = [-5.0, 0.5, -0.5, -0.1, -1.0], [(NEVER, 20), (-5, 5), (-20, 20), (-20, 0), (-20, 20)]
    n = len(held)
    found = optimize.minimize(_loss, start * n, (held, prior_N), "L-BFGS-B", jac=True, bounds=bounds * n).x
    for rates, weight_F in zip(kinds, found.reshape(n, -1), strict=False):
        rates.take(weight_F)


def _loss(
    theta: NDArray[np.float64], kinds: list[_Interests], prior_N: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Returns the mean negative log-likelihood with a slight pull of all but θ0 to zero, and its gradient."""
    n, votes_N, all_N, rates = len(prior_N), prior_N.copy(), np.ones(len(prior_N)), []
    weight_KF = theta.reshape(len(kinds), -1)
    for kind, weight_F in zip(kinds, weight_KF, strict=True):
        rate_M = np.exp(kind.part_MF @ weight_F)
        votes_N += np.bincount(kind.row_M, rate_M * kind.hit_M, minlength=n)
        all_N += np.bincount(kind.row_M, rate_M, minlength=n)
        rates.append(rate_M)
    pull_KF = weight_KF * [0.0, PULL, PULL, PULL, PULL] / n
    loss = np.mean(np.log(all_N) - np.log(votes_N)) + (pull_KF * weight_KF).sum() / 2
    slope = [
        (rate_M * (1 / all_N[kind.row_M] - kind.hit_M / votes_N[kind.row_M])) @ kind.part_MF / n
        for kind, rate_M in zip(kinds, rates, strict=True)
    ]
    return float(loss), (np.stack(slope) + pull_KF).ravel()


def _gather(
    rates: ReturnRates,
    split: Split,
    targets: Targets,
    category_J: Tensor | None,
    n_keys: int,
    key_N: NDArray[np.integer],
    worth_N: NDArray[np.float64],
) -> _Interests:
    """Gathers the interests in the histories of targets, after the rates have taken the scale of their ages.

    Args:
        rates: of items or of categories.
        split: the split.
        targets: `N` targets.
        category_J: category of each item; None: interests are in items.
        n_keys: how many items, or categories, there are.
        key_N: item, or category, of each target.
        worth_N: what a return to it is worth.
    """
    columns: list[tuple[Tensor, ...]] = []
    for batch in RankingBatches(split.store, targets, FITTED_LENGTH, hide_seen=False, roles=split.roles):
        shown = batch.histories
        key_BL = shown.item_BL if category_J is None else category_J[shown.item_BL]
        last_BL, moments_BL, time_BL = interests(key_BL, n_keys, shown.time_BL)
        row_BL, age_BL = batch.index_B[:, None].expand_as(last_BL), shown.now_B[:, None] - time_BL
        columns.append(tuple(column_BL[last_BL < n_keys] for column_BL in (row_BL, last_BL, moments_BL, age_BL)))
    row_M, key_M, moments_M, age_M = (torch.cat(column) for column in zip(*columns, strict=True))
    rates.look_at(age_M)
    hit_M = np.where(key_M.numpy() == key_N[row_M], worth_N[row_M], 0.0)
    return _Interests(row_M.numpy(), rates.parts(age_M, moments_M).double().cpu().numpy(), hit_M)
