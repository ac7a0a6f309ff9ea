"""Whether interest adds up: four models of how a visit brings the next one about.

`rate(t) = floor + amount · Σ_j g(t − t_j)`, where the sum goes over all earlier visits of the user to the entity
(memory `each`) or has one term, that of the last visit (`last`), and the trace `g` of a visit fades exponentially or by
a power law (`ltsi.decay.kernels`). Exponential traces of each visit are a Hawkes process with a baseline, power-law
traces of each visit the base level of ACT-R; with the last visit alone both are the return hazard of
`ltsi.decay.forms`, with a floor. All four have three parameters and are fitted to the same times at risk: from
`session_gap_days` after a visit's end to the next visit, or to the end of the observation, where they are cut off. All
entities are taken together; a return is still to the same entity.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ltsi.decay.bootstrap import user_weights
from ltsi.decay.contest import FOLDS, TIE_ERRORS, deal
from ltsi.decay.forms import AT_BOUND, LN2, RATE, Floats
from ltsi.decay.kernels import EACH, EXPONENTIAL, LAST, POWER
from ltsi.decay.point import NO_FALL, TOO_FAST
from ltsi.decay.rate_fit import LEAST_SHARE, RateFit, RateModel
from ltsi.decay.rate_frailty import FrailPairs, FrailRate
from ltsi.decay.result import MIN_RETURNING_USERS, FitOptions, too_thin
from ltsi.decay.return_decay import observation_end
from ltsi.decay.visits import Visits
from ltsi.sequences.split import Split

MODELS = ((EXPONENTIAL, LAST), (POWER, LAST), (EXPONENTIAL, EACH), (POWER, EACH))
"""Kernel and memory; the first is what the others are compared with."""

NO_TRACES = "visits leave no trace: the floor accounts for all returns"
EXPLOSIVE = "a visit brings about one return or more: visits would multiply without end"
_PARAMETERS = 3

Watch = Callable[[str, float], None]


@dataclass(frozen=True)
class ExcitationModel:
    """One of the four models, fitted.

    Attributes:
        kernel: `exponential` or `power`.
        memory: `last` or `each`.
        rate_per_day: `λ` of the exponential kernel.
        exponent: `d` of the power kernel.
        low: lower end of the interval of `λ` or `d` over users; None without replicates or where the fit has run into
            a bound.
        high: upper end.
        half_life_days: `ln 2 / λ`; None for a power law, which has none.
        amount: returns per day that a trace adds at age 0, of the power kernel at one day.
        floor: returns per day without any trace.
        triggered: returns expected of the trace of one visit: the branching ratio with memory `each`, and with `last`
            those there would be if no return put a new trace in its place. Of the power kernel until the longest age in
            the log.
        log_likelihood: at the maximum, all users.
        aic: Akaike's criterion.
        heldout: log-likelihood of held-out users.
        gain: `heldout` over that of the exponential kernel with memory `last`.
        gain_error: its standard error over users.
        gain_apart: log-likelihood over the same model if every pair of a user and an entity has a level of its own.
        gain_apart_error: its standard error over users.
        rate_per_day_apart: `λ` with these levels; None where the rate then does not fall, or too fast to be seen.
        exponent_apart: `d` with these levels, likewise.
        variance_apart: variance of these levels, of mean 1.
        note: what the numbers do not say; empty if nothing.
    """

    kernel: str
    memory: str
    rate_per_day: float | None
    exponent: float | None
    low: float | None
    high: float | None
    half_life_days: float | None
    amount: float
    floor: float
    triggered: float
    log_likelihood: float
    aic: float
    heldout: float
    gain: float
    gain_error: float
    gain_apart: float
    gain_apart_error: float
    rate_per_day_apart: float | None
    exponent_apart: float | None
    variance_apart: float
    note: str = ""

    @property
    def name(self) -> str:
        """What the model is called."""
        return f"{self.kernel} × {self.memory}"


@dataclass(frozen=True)
class Lead:
    """How far one model is ahead of another.

    Attributes:
        first: the one ahead.
        second: the other.
        gain: difference in log-likelihood.
        error: its standard error over users, paired.
    """

    first: ExcitationModel
    second: ExcitationModel
    gain: float
    error: float

    @property
    def clear(self) -> bool:
        """Whether the lead is outside two errors."""
        return self.gain > TIE_ERRORS * self.error


@dataclass(frozen=True)
class Excitation:
    """The comparison of the models.

    Attributes:
        models: the four, in the order of `MODELS`; none if the evidence is too thin.
        memory: the best model on held-out users, ahead of the best with the other memory; None without models.
        kernel: the best model ahead of the best with the other kernel.
        memory_apart: the same as `memory`, if every pair of a user and an entity has a level of its own.
        note: why there are no models; empty if there are.
    """

    models: tuple[ExcitationModel, ...]
    memory: Lead | None = None
    kernel: Lead | None = None
    memory_apart: Lead | None = None
    note: str = ""


def fit_excitation(
    split: Split,
    entity_of_item: NDArray[np.integer] | None,
    n_entities: int,
    options: FitOptions,
    watch: Watch,
) -> Excitation:
    """Compares the models on the training part of a split.

    Args:
        split: the events.
        entity_of_item: `(items,)`, code of the entity each item belongs to, -1: to none; None: every user is an entity.
        n_entities: number of entities.
        options: how to fit; `replicates` are bootstrap replicates over users.
        watch: is told about progress.
    """
    ends = observation_end(split, split.training_end_time())
    visits = Visits.collect(split.training_blocks(), entity_of_item, n_entities, ends, options.session_gap_days)
    return compare(visits, options, watch)


def compare(visits: Visits, options: FitOptions, watch: Watch) -> Excitation:
    """Compares the models on visits.

    Args:
        visits: the visits.
        options: how to fit.
        watch: is told about progress.
    """
    count = int(visits.returned.sum())
    if note := too_thin(count, visits.returning_users, options.min_returns, MIN_RETURNING_USERS):
        return Excitation((), note=note)
    found = []
    for at, (kernel, memory) in enumerate(MODELS):
        watch("do earlier visits add up", at / len(MODELS))
        found.append(_Judged.of(RateModel(visits, kernel, memory), options))
    watch("do earlier visits add up", 1.0)
    models = tuple(
        _described(one, kernel, memory, found[0], options) for one, (kernel, memory) in zip(found, MODELS, strict=True)
    )
    heldout, apart = np.stack([one.heldout for one in found]), np.stack([one.apart.by_group for one in found])
    return Excitation(
        models,
        memory=_lead(models, heldout, [memory for _, memory in MODELS]),
        kernel=_lead(models, heldout, [kernel for kernel, _ in MODELS]),
        memory_apart=_lead(models, apart, [memory for _, memory in MODELS]),
    )


@dataclass(frozen=True)
class _Judged:
    """A model's fit with all that is known of it.

    Attributes:
        model: the model.
        fit: its fit to all users.
        replicates: `(R,)`, logarithm of the kernel's parameter in bootstrap replicates.
        heldout: `(G,)`, log-likelihood of each group of users, held out.
        apart: its fit if pairs have levels of their own.
    """

    model: RateModel
    fit: RateFit
    replicates: Floats
    heldout: Floats
    apart: FrailRate

    @classmethod
    def of(cls, model: RateModel, options: FitOptions) -> _Judged:
        """Fits a model, in replicates and folds too."""
        groups = model.visits.n_groups
        fit, fold = model.maximise(), deal(groups, options.seed)
        others = (fold[None, :] != np.arange(FOLDS)[:, None]).astype(np.float64)
        refits = model.refit(fit, np.vstack([others, user_weights(groups, options.replicates, options.seed)]))
        heldout = np.zeros(groups)
        for at in range(FOLDS):
            heldout += model.by_group(model.at(float(refits[at]), others[at]), fold == at)
        return cls(model, fit, refits[FOLDS:], heldout, FrailPairs(model).maximise(fit))


def _described(one: _Judged, kernel: str, memory: str, plain: _Judged, options: FitOptions) -> ExcitationModel:
    model, fit = one.model, one.fit
    shape, shape_apart = math.exp(fit.log_shape), math.exp(one.apart.log_shape) if one.apart.falls else None
    exponential = model.kernel.parameter == RATE
    triggered = fit.amount * model.kernel.reach(shape)
    low = high = None
    note = _trouble(one)
    if len(one.replicates) and not note:
        tail = (1.0 - options.confidence) / 2
        # Ranks among replicates plus one, as for the intervals of the return hazard.
        low, high = np.exp(np.quantile(one.replicates, [tail, 1.0 - tail], method="weibull")).tolist()
    if not note and memory == EACH and triggered >= 1.0:
        note = EXPLOSIVE
    gain, gain_error = _difference(one.heldout, plain.heldout)
    gain_apart, gain_apart_error = _difference(one.apart.by_group, plain.apart.by_group)
    return ExcitationModel(
        kernel=kernel,
        memory=memory,
        rate_per_day=shape if exponential else None,
        exponent=None if exponential else shape,
        low=low,
        high=high,
        half_life_days=LN2 / shape if exponential else None,
        amount=fit.amount,
        floor=fit.floor if fit.share > 2 * LEAST_SHARE else 0.0,
        triggered=triggered,
        log_likelihood=fit.log_likelihood,
        aic=2 * _PARAMETERS - 2 * fit.log_likelihood,
        heldout=float(one.heldout.sum()),
        gain=gain,
        gain_error=gain_error,
        gain_apart=gain_apart,
        gain_apart_error=gain_apart_error,
        rate_per_day_apart=shape_apart if exponential else None,
        exponent_apart=None if exponential else shape_apart,
        variance_apart=one.apart.variance,
        note=note,
    )


def _trouble(one: _Judged) -> str:
    """Says why the kernel's parameter means nothing, where it has run into a bound or its traces explain no return."""
    if (1.0 - one.fit.share) * len(one.model.came) < 1:
        return NO_TRACES
    if one.fit.log_shape <= one.model.low + AT_BOUND:
        return NO_FALL
    if one.fit.log_shape >= one.model.high - AT_BOUND:
        return TOO_FAST
    return ""


def _lead(models: tuple[ExcitationModel, ...], score: Floats, kind: list[str]) -> Lead:
    """Returns the lead of the best model over the best one of another kind, for scores by group `(4, G)`."""
    total = score.sum(1)
    first = int(np.argmax(total))
    other = np.array([one != kind[first] for one in kind])
    second = int(np.argmax(np.where(other, total, -np.inf)))
    return Lead(models[first], models[second], *_difference(score[first], score[second]))


def _difference(one: Floats, other: Floats) -> tuple[float, float]:
    """Returns a sum of differences over groups of users, and its standard error."""
    difference = one - other
    spread = float(((difference - difference.mean()) ** 2).sum())
    return float(difference.sum()), math.sqrt(spread * len(difference) / max(len(difference) - 1, 1))
