"""What a user took comes back at a rate that goes by how often and how long ago it was taken: repeat consumption.

Shape suffixes: B histories, L positions, I items, J items and padding, C categories and padding, F parts of a log-rate,
N questions the rates are fitted on, M interests in their histories.
Sources: Anderson et al. 2014, "The Dynamics of Repeat Consumption" (recency and how often, for the same item); the
curve over age is that of the lognormal distribution, which rises before it falls.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import optimize
from torch import Tensor
from torch.nn import functional

from ltsi.histories import Histories
from ltsi.models.interest import InterestModel
from ltsi.models.popularity import count_items
from ltsi.sequences.batches import RankingBatches
from ltsi.sequences.rows import last_rows
from ltsi.sequences.split import Split, Targets

FITTED_USERS = 20_000
"""Users whose last training moment the rates are fitted on, at most: eight numbers need no more."""

FITTED_LENGTH = 1_000
"""Events before it that are looked at: how often, and how long ago, is not to end at what a network is shown."""

FITTED_EVENTS = 4_000_000
"""The same of all these users together."""

NEVER = -30.0
"""Logarithm of a rate that is as good as none."""


class ReturnHazard(InterestModel):
    """`p(i) ∝ h(i) + g(c(i)) · pop(i | c(i)) + pop(i)`: returns to an item, returns to its category, popularity.

    `log h = θ0 + θ1 · log m + θ2 · z + θ3 · z²` for an item of the history, taken at `m` moments, with `z` the
    standardised logarithm of the time since the last of them; likewise `g` for a category, with weights of its own.
    The weights are fitted by maximum likelihood of what each user took at their last training moment, given what came
    before it. In a log without a clock, time is counted in events.

    Where `exp_decay` adds up what is left of every event, this asks how often and how long ago: a fourth visit adds
    less than the first, and what was bought today is not bought tomorrow.

    Args:
        n_items: size of the catalogue.
        category: column of the item table; without such a column there are no returns to categories.
    """

    category_J: Tensor
    prior_I: Tensor
    within_I: Tensor
    scale: Tensor
    item_F: Tensor
    category_F: Tensor

    def __init__(self, n_items: int, category: str = "category") -> None:
        super().__init__()
        self.n_items, self.category = n_items, category
        self.register_buffer("category_J", torch.zeros(n_items + 1, dtype=torch.int64))
        self.register_buffer("prior_I", torch.full((n_items,), 1.0 / n_items))
        self.register_buffer("within_I", torch.full((n_items,), 1.0 / n_items))
        self.register_buffer("scale", torch.tensor([0.0, 1.0]))
        self.register_buffer("item_F", torch.tensor([NEVER, 0.0, 0.0, 0.0]))
        self.register_buffer("category_F", torch.tensor([NEVER, 0.0, 0.0, 0.0]))

    def fit_statistics(self, split: Split) -> None:
        """Fits popularity and the rates of return on the training part."""
        store, device = split.store, self.prior_I.device
        count_I, n_categories = count_items(split).double(), 0
        within_I = torch.zeros_like(count_I)
        if self.category in store.items.columns:
            codes, labels = store.item_codes(self.category)
            category_I, n_categories = torch.from_numpy(codes.astype(np.int64)), len(labels)
            count_C = torch.zeros(n_categories, dtype=torch.float64).index_add_(0, category_I, count_I)
            self.category_J = torch.cat([category_I, torch.tensor([n_categories])]).to(device)
            within_I = count_I / count_C[category_I].clamp(min=1)
        self.prior_I = (count_I / count_I.sum()).float().to(device)
        self.within_I = within_I.float().to(device)
        asked = _Asked.of(split, self.category_J.cpu() if n_categories else None, count_I.numpy())
        if asked is not None:
            scale, item_F, category_F = asked.fit()
            self.scale = torch.tensor(scale, device=device)
            self.item_F, self.category_F = (torch.tensor(found).float().to(device) for found in (item_F, category_F))

    def forward(self, histories: Histories) -> Tensor:
        """Scores the catalogue; see `InterestModel.forward`."""
        score_BI = self._rates(histories.item_BL, self.n_items, histories, self.item_F)
        if self.category_F[0] > NEVER:
            n_categories = int(self.category_J[-1])
            rate_BC = self._rates(self.category_J[histories.item_BL], n_categories, histories, self.category_F)
            score_BI += rate_BC[:, self.category_J[:-1]] * self.within_I
        return (score_BI + self.prior_I).log()

    def evidence(self, score_BI: Tensor) -> Tensor:
        """Returns the logarithm of all rates of return beside a prior of one, `(B,)`."""
        return score_BI.logsumexp(dim=1)

    def _rates(self, key_BL: Tensor, n_keys: int, histories: Histories, weight_F: Tensor) -> Tensor:
        last_BL, moments_BL, time_BL = interests(key_BL, n_keys, histories.time_BL)
        log_age_BL = _log_age(histories.now_B[:, None] - time_BL)
        z_BL = (log_age_BL - self.scale[0]) / self.scale[1]
        log_rate_BL = weight_F[0] + weight_F[1] * moments_BL.log() + weight_F[2] * z_BL + weight_F[3] * z_BL**2
        rate_BJ = log_rate_BL.new_zeros(len(histories), n_keys + 1)
        return rate_BJ.scatter_(1, last_BL, log_rate_BL.exp())[:, :n_keys]


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


def _log_age(age: Tensor) -> Tensor:
    return age.clamp(min=1).float().log()


@dataclass(frozen=True)
class _Interests:
    """The interests that are in the histories of questions.

    Attributes:
        row_M: the question.
        part_MF: parts of the log-rate.
        hit_M: what a return to it is worth: the target's share of it, 0 for others.
    """

    row_M: NDArray[np.int64]
    part_MF: NDArray[np.float64]
    hit_M: NDArray[np.float64]


@dataclass(frozen=True)
class _Asked:
    """Questions about the last training moment of users: which of their interests came back then, if any."""

    prior_N: NDArray[np.float64]
    scale: tuple[float, float]
    of_item: _Interests
    of_category: _Interests | None

    @classmethod
    def of(cls, split: Split, category_J: Tensor | None, count_I: NDArray[np.float64]) -> _Asked | None:
        """Asks the questions; None where no user has two moments.

        A target is left out of the counts behind its own prior; else the fit would learn to trust a count that contains
        the answer.
        """
        targets = _last_moments(split)
        if not len(targets):
            return None
        item_N = split.store.item[targets.event]
        prior_N = np.maximum(count_I[item_N] - 1, 0.5) / count_I.sum()
        parts = list(_gathered(split, targets, None, len(count_I)))
        log_age = np.concatenate([part[2] for part in parts])
        scale = float(log_age.mean()), max(float(log_age.std()), 1e-3)
        of_item = _interests(parts, scale, item_N, np.ones(len(targets)))
        if category_J is None:
            return cls(prior_N, scale, of_item, None)
        category_I, n_categories = category_J[:-1].numpy(), int(category_J[-1])
        count_C = np.bincount(category_I, count_I, minlength=n_categories)
        within_N = np.maximum(count_I[item_N] - 1, 0.5) / np.maximum(count_C[category_I[item_N]] - 1, 1)
        parts = list(_gathered(split, targets, category_J, n_categories))
        return cls(prior_N, scale, of_item, _interests(parts, scale, category_I[item_N], within_N))

    def fit(self) -> tuple[tuple[float, float], NDArray[np.float64], NDArray[np.float64]]:
        """Returns the scale of log-ages, and the weights of the log-rates of items and of categories."""
        kinds = [self.of_item] if self.of_category is None else [self.of_item, self.of_category]
        start, bounds = [-5.0, 0.5, -0.5, -0.1], [(NEVER, 20.0), (-5.0, 5.0), (-20.0, 20.0), (-20.0, 0.0)]
        found = optimize.minimize(
            self._loss, start * len(kinds), args=(kinds,), jac=True, method="L-BFGS-B", bounds=bounds * len(kinds)
        ).x
        return self.scale, found[:4], found[4:] if len(kinds) == 2 else np.array([NEVER, 0.0, 0.0, 0.0])

    def _loss(self, theta: NDArray[np.float64], kinds: list[_Interests]) -> tuple[float, NDArray[np.float64]]:
        """Returns the mean negative log-likelihood, a slight pull of the exponents to zero, and the gradient."""
        n, votes_N, all_N, rates = len(self.prior_N), self.prior_N.copy(), np.ones(len(self.prior_N)), []
        for kind, weight_F in zip(kinds, theta.reshape(-1, 4), strict=True):
            rate_M = np.exp(kind.part_MF @ weight_F)
            votes_N += np.bincount(kind.row_M, rate_M * kind.hit_M, minlength=n)
            all_N += np.bincount(kind.row_M, rate_M, minlength=n)
            rates.append(rate_M)
        pull = theta.reshape(-1, 4) * [0.0, 1.0, 1.0, 1.0] / n
        loss = np.mean(np.log(all_N) - np.log(votes_N)) + (pull * theta.reshape(-1, 4)).sum() / 2
        slope = [
            (rate_M * (1 / all_N[kind.row_M] - kind.hit_M / votes_N[kind.row_M])) @ kind.part_MF / n
            for kind, rate_M in zip(kinds, rates, strict=True)
        ]
        return float(loss), (np.stack(slope) + pull).ravel()


def _last_moments(split: Split) -> Targets:
    """Returns the first event of each user's last training moment, to be predicted from the moments before it."""
    store = split.store
    offsets, time, end = np.asarray(store.offsets), store.time, split.train_end
    last_time = np.where(end > offsets[:-1], time[np.maximum(end - 1, 0)], 0)

    def earlier(rows: slice) -> NDArray[np.bool_]:
        user = np.searchsorted(offsets, np.arange(rows.start, rows.stop), side="right") - 1
        return np.asarray(time[rows] < last_time[user])

    (row,) = last_rows(offsets, end, earlier, (1,))
    user = np.flatnonzero(row >= 0)
    if len(user):
        length = np.minimum(row[user] + 1 - offsets[user], FITTED_LENGTH).mean()
        count = min(len(user), FITTED_USERS, int(FITTED_EVENTS / length))
        user = user[np.linspace(0, len(user) - 1, count).astype(np.int64)]
    return Targets(user, row[user] + 1, row[user] + 1, last_time[user].astype(np.int64))


def _gathered(
    split: Split, targets: Targets, category_J: Tensor | None, n_keys: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]]:
    """Yields for each batch of questions the rows, keys, log-ages and log-moments of the interests in them."""
    for batch in RankingBatches(split.store, targets, FITTED_LENGTH, hide_seen=False):
        shown = batch.histories
        key_BL = shown.item_BL if category_J is None else category_J[shown.item_BL]
        last_BL, moments_BL, time_BL = interests(key_BL, n_keys, shown.time_BL)
        real_BL = last_BL < n_keys
        row_M = batch.index_B[:, None].expand_as(last_BL)[real_BL]
        log_age_M = _log_age(shown.now_B[:, None] - time_BL)[real_BL]
        columns = row_M.numpy(), last_BL[real_BL].numpy(), log_age_M.double().numpy()
        yield *columns, moments_BL[real_BL].double().log().numpy()


def _interests(
    parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]],
    scale: tuple[float, float],
    key_N: NDArray[np.integer],
    worth_N: NDArray[np.float64],
) -> _Interests:
    row_M, key_M, log_age_M, log_moments_M = (np.concatenate(column) for column in zip(*parts, strict=True))
    z_M = (log_age_M - scale[0]) / scale[1]
    part_MF = np.stack([np.ones_like(z_M), log_moments_M, z_M, z_M**2], axis=1)
    return _Interests(row_M, part_MF, np.where(key_M == key_N[row_M], worth_N[row_M], 0.0))
