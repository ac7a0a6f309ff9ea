"""The decay that a trained model implies: how its interest in the past falls while time passes and nothing happens.

Histories are kept as they are and only the "now" moves on, so all of their events age by as many days. What is followed
is the weight of an entity of the history (an item, a category) against all that the history does not hold,
`w_e(d) = Σ_{i in e} p(i | history, d) / Σ_{i outside} p(i | history, d)`, as a share of what it was at first,
`w_e(d) / w_e(0)`. A ratio of two probabilities of one answer does not depend on what the answer was normalised by: of
`exp_decay` over items it is `exp(−λ d)` above a floor, whatever else is in the history. What weighs no more than in the
answer to an empty history is no interest, and is not followed.

Shape suffixes: B histories, I items, E entities, N age bins, G groups of histories, P fits, R replicates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ltsi.decay.forms import FORMS, LN2, RATE, SIMPLE, Floats, has_half_life, rate_bounds, values
from ltsi.decay.likelihood import maximise
from ltsi.decay.result import AUTO, POOLED, SIMPLE_FORM, FitOptions
from ltsi.decay.statistics import SECONDS_PER_DAY
from ltsi.histories import Histories

BINS = 16
DECADES = 3.0
"""The first age is this many powers of ten shorter than the longest one."""

GROUPS = 64
MIN_HISTORIES = 10
"""An entity in fewer histories is not fitted."""

LIFT = 1.1
"""An interest weighs at least this many times what it does without a history."""

UNMOVED = 1e-4
"""A share that stays this close to one has not moved."""

FARTHEST = 0.1
"""Scores that leave their curve by more than this share of what an interest begins with do not follow it."""

NO_FALL = "the scores do not fall"
TOO_FAST = "the scores fall within the first age bin"
TOO_FEW = f"an interest of fewer than {MIN_HISTORIES} histories"

_TINY = 1e-300


@dataclass(frozen=True)
class ImpliedCurves:
    """What is left of interests as their histories age, added up.

    Attributes:
        edges: `(N + 1,)`, edges of the age bins in days.
        left_GEN: sum over a group's histories of the mean share that is left in each bin.
        count_GE: histories of each group that have an interest in the entity, and do not hold everything.
        looks_at_time: whether any score has moved against another at all.
        n_compared: pairs of a history and an entity in it that could be compared with something outside it.
        n_histories: histories that were aged.
    """

    edges: Floats
    left_GEN: Floats
    count_GE: Floats
    looks_at_time: bool
    n_compared: int
    n_histories: int

    def first(self, count: int) -> ImpliedCurves:
        """Returns the same of the first entities only."""
        return replace(self, left_GEN=self.left_GEN[:, :count], count_GE=self.count_GE[:, :count])


@dataclass(frozen=True)
class ImpliedDecay:
    """The decay that a model implies for an entity; what could not be fitted is None.

    Attributes:
        entity: label.
        histories: histories with an interest in it.
        form: name of the form.
        rate_per_day: `λ`; 0 where the scores do not fall; None where the form has none.
        half_life_days: `ln 2 / λ`; None for a power law, cut off or not.
        half_life_low_days: lower end of the bootstrap interval over histories.
        half_life_high_days: upper end.
        note: why something is missing, or why the half-life is not to be trusted.
    """

    entity: str
    histories: int
    form: str | None = None
    rate_per_day: float | None = None
    half_life_days: float | None = None
    half_life_low_days: float | None = None
    half_life_high_days: float | None = None
    note: str = ""


def implied_edges(longest_days: float) -> Floats:
    """Returns the edges of ever wider age bins, `(N + 1,)`. They start above 0, where a power law has no value."""
    return np.geomspace(longest_days / 10**DECADES, longest_days, BINS + 1)


def age(histories: Histories, days: float) -> Histories:
    """Returns the histories as they look so many days after their last event; nothing but the now has moved."""
    now_B = histories.last(histories.time_BL) + round(days * SECONDS_PER_DAY)
    position_L = torch.arange(histories.item_BL.shape[1], device=histories.item_BL.device)
    answered_BL = position_L >= histories.length_B[:, None] - 1
    return replace(histories, now_BL=torch.where(answered_BL, now_B[:, None], histories.now_BL))


@torch.no_grad()
def implied_curves(
    scores: Callable[[Histories], Tensor],
    batches: Iterable[Histories],
    entity_of_item: NDArray[np.integer],
    n_entities: int,
    edges: Floats,
) -> ImpliedCurves:
    """Ages histories step by step and follows their interests.

    Args:
        scores: gives log-probabilities of the catalogue up to a constant per row, `(B, I)`.
        batches: histories, none of them empty.
        entity_of_item: `(I,)`, code of the entity of each item.
        n_entities: E.
        edges: edges of the age bins in days, from `implied_edges`.

    Returns:
        The curves. Means over bins are by Simpson's rule, so that wide bins bend nothing.
    """
    entity_I = torch.from_numpy(entity_of_item.astype(np.int64))
    left_GEN, count_GE = np.zeros((GROUPS, n_entities, len(edges) - 1)), np.zeros((GROUPS, n_entities))
    middle = (edges[:-1] + edges[1:]) / 2
    first, compared, moved = 0, 0, False
    for histories in batches:
        followed = _Followed.start(scores, histories, entity_I, n_entities)
        group_B = (first + np.arange(len(histories))) % GROUPS
        counted_BE = followed.counted_BE.numpy()
        low_BE = followed.left(float(edges[0]))
        np.add.at(count_GE, group_B, counted_BE)
        for n, (centre, end) in enumerate(zip(middle.tolist(), edges[1:].tolist(), strict=True)):
            middle_BE, high_BE = followed.left(centre), followed.left(end)
            np.add.at(left_GEN[:, :, n], group_B, np.where(counted_BE, (low_BE + 4 * middle_BE + high_BE) / 6, 0.0))
            moved = moved or bool((np.abs(high_BE - followed.held_BE.numpy()) > UNMOVED).any())
            low_BE = high_BE
        first, compared = first + len(histories), compared + int(followed.held_BE.sum())
    return ImpliedCurves(edges, left_GEN, count_GE, moved, compared, first)


def fit_implied(curves: ImpliedCurves, labels: Sequence[str], options: FitOptions) -> list[ImpliedDecay]:
    """Fits the forms of the return hazard to the curves: each history as if it were asked once a day.

    Args:
        curves: the curves of E entities.
        labels: label of each entity.
        options: its form, of several the one with the lowest AIC on all entities taken as one: curves that hardly
            scatter say more of the form than the criterion knows from the few histories of an entity. Its bootstrap is
            over groups of histories.

    Returns:
        All entities taken as one, and each entity; only the first where there is one entity.
    """
    own = [ImpliedDecay(label, round(float(count))) for label, count in zip(labels, curves.count_GE.sum(0))]
    rows = [ImpliedDecay(POOLED, round(float(curves.count_GE.sum()))), *(own if len(own) > 1 else [])]
    left_GPN = np.concatenate([curves.left_GEN.sum(1, keepdims=True), curves.left_GEN], axis=1)[:, : len(rows)]
    count_GP = np.concatenate([curves.count_GE.sum(1, keepdims=True), curves.count_GE], axis=1)[:, : len(rows)]
    random = np.random.default_rng(options.seed)
    weights_RG = random.multinomial(GROUPS, np.full(GROUPS, 1 / GROUPS), options.replicates).astype(np.float64)
    width_N = np.diff(curves.edges)
    names = {AUTO: list(FORMS), SIMPLE_FORM: list(SIMPLE)}.get(options.form, [options.form])
    for p, row in enumerate(rows):
        if row.histories < MIN_HISTORIES:
            rows[p] = replace(row, note=TOO_FEW)
            continue
        returned_GN, exposed_GN = left_GPN[:, p] * width_N, count_GP[:, p, None] * width_N
        rows[p] = _fit(row, names, returned_GN, exposed_GN, curves.edges, weights_RG, options.confidence)
        if p == 0:
            names = [str(rows[0].form)]
    return rows


def _fit(
    row: ImpliedDecay,
    names: list[str],
    returned_GN: Floats,
    exposed_GN: Floats,
    edges: Floats,
    weights_RG: Floats,
    confidence: float,
) -> ImpliedDecay:
    returned, exposed = returned_GN.sum(0, keepdims=True), exposed_GN.sum(0, keepdims=True)
    fits = {name: maximise(FORMS[name], returned, exposed, edges) for name in names}
    name = min(fits, key=lambda one: float(fits[one].aic()[0]))
    form, theta = FORMS[name], fits[name].theta
    if not has_half_life(form):
        return replace(row, form=name, rate_per_day=values(form, theta[0]).get(RATE), note=f"{name} has no half-life")
    slowest, fastest = rate_bounds(edges)[0] * 1.001, rate_bounds(edges)[1] * 0.999
    rate = float(np.exp(theta[0, 0]))
    if rate <= slowest:
        return replace(row, form=name, rate_per_day=0.0, note=NO_FALL)
    if rate >= fastest:
        return replace(row, form=name, note=TOO_FAST)
    doubts = _doubts(form.mean_hazard(theta, edges)[0] - returned / exposed, edges, LN2 / rate)
    row = replace(row, form=name, rate_per_day=rate, half_life_days=LN2 / rate, note=doubts)
    if not len(weights_RG):
        return row
    resampled = np.maximum(weights_RG @ returned_GN, _TINY), np.maximum(weights_RG @ exposed_GN, _TINY)
    start = np.repeat(theta, len(weights_RG), axis=0)
    rate_R = np.exp(maximise(form, *resampled, edges, start=start).theta[:, 0])
    tail = (1 - confidence) / 2
    low, high = np.quantile(rate_R, [tail, 1 - tail], method="weibull").tolist()
    high_days = None if low <= slowest else LN2 / low
    return replace(row, half_life_low_days=LN2 / high, half_life_high_days=high_days)


def _doubts(apart_1N: Floats, edges: Floats, half_life: float) -> str:
    farthest = float(np.abs(apart_1N).max())
    doubts = [f"not the curve of the scores, which leave it by {farthest:.0%}"] if farthest > FARTHEST else []
    if half_life > edges[-1]:
        doubts.append(f"beyond the {edges[-1]:,.3g} days that were aged")
    return "; ".join(doubts)


@dataclass(frozen=True)
class _Followed:
    """Histories of a batch, and how their interests stood at first."""

    scores: Callable[[Histories], Tensor]
    histories: Histories
    entity_I: Tensor
    held_BE: Tensor
    at_first_BE: Tensor
    counted_BE: Tensor

    @classmethod
    def start(
        cls, scores: Callable[[Histories], Tensor], histories: Histories, entity_I: Tensor, n_entities: int
    ) -> _Followed:
        held_BE = _held(histories, entity_I, n_entities)
        at_first_BE = _log_weight(scores(age(histories, 0.0)), held_BE, entity_I)
        held_BE &= at_first_BE.isfinite()
        blank_BE = _log_weight(scores(_blank(histories, len(entity_I))), held_BE, entity_I)
        # What an empty history makes impossible, at a weight of zero, is an interest at any weight.
        return cls(scores, histories, entity_I, held_BE, at_first_BE, held_BE & (at_first_BE > blank_BE + np.log(LIFT)))

    def left(self, days: float) -> Floats:
        """Returns what is left after so many days, `(B, E)`; 0 for what the history does not hold."""
        weight_BE = _log_weight(self.scores(age(self.histories, days)), self.held_BE, self.entity_I)
        share_BE: Floats = torch.where(self.held_BE, (weight_BE - self.at_first_BE).exp(), 0.0).numpy()
        return share_BE


def _blank(histories: Histories, n_items: int) -> Histories:
    """Returns histories without an event, asked when the others had their last."""
    now_B1 = histories.last(histories.time_BL)[:, None]
    return Histories(
        torch.full_like(now_B1, n_items), now_B1, torch.zeros_like(histories.length_B), now_B1, histories.user_B
    )


def _held(histories: Histories, entity_I: Tensor, n_entities: int) -> Tensor:
    """Returns which entities are in each history, bool `(B, E)`."""
    # Padding is an item behind the last one; its entity is one behind the last, and cut off.
    entity_J = torch.cat([entity_I, entity_I.new_tensor([n_entities])])
    held_BF = torch.zeros(len(histories), n_entities + 1, dtype=torch.bool)
    held_BF.scatter_(1, entity_J[histories.item_BL], True)
    return held_BF[:, :n_entities]


def _log_weight(score_BI: Tensor, held_BE: Tensor, entity_I: Tensor) -> Tensor:
    """Returns the logarithm of each entity's probability against that of all that the history does not hold, float64.

    Infinite or NaN where the history holds everything, or the model excludes one of the two.
    """
    p_BI = score_BI.double().softmax(dim=1)
    p_BE = p_BI.new_zeros(held_BE.shape).index_add_(1, entity_I, p_BI)
    outside_B1 = p_BE.masked_fill(held_BE, 0.0).sum(dim=1, keepdim=True)
    return p_BE.log() - outside_B1.log()
