"""Forms of the return hazard: how the rate of coming back depends on the time since the last visit.

A form is an amplitude times a shape that falls with age, alone or above a floor, and either of them with or without a
rise before the fall: a factor `1 − exp(−age / r)`, because somebody who has just bought coffee has coffee. The factor
is that of a need that refills at a constant rate; it is 1 for ages well beyond `r` and leaves the fall as it is there.

Every form is written over the logarithms of its parameters, so that all of them stay positive. Letters of the shapes:
`P` fits side by side, `B` age bins, `K` parameters, `A` ages, `C` candidates.

A form gives its mean over each age bin, not its value at the bin's middle. The expected number of returns in a bin is
then the exposure times the mean, and wide bins do not bias the rate.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LN2 = math.log(2.0)

SLOWEST_HALF_LIFE = 10.0
"""Half-lives beyond this many times the longest age cannot be told from a hazard that does not fall."""

AT_BOUND = 1e-3
"""Log-parameters this near to a bound have run into it."""

RATE, AMPLITUDE, FLOOR = "rate_per_day", "amplitude", "floor"
SLOW_RATIO, SLOW_AMPLITUDE = "slow_ratio", "slow_amplitude"
EXPONENT, SHAPE, RISE = "exponent", "shape", "rise_days"
LINEAR = (AMPLITUDE, FLOOR, SLOW_AMPLITUDE)
"""Parameters that the hazard is proportional to, all of them together."""

_GRID = {
    RATE: 16,
    EXPONENT: 10,
    SHAPE: 5,
    SLOW_RATIO: 4,
    RISE: 5,
    FLOOR: 7,
    SLOW_AMPLITUDE: 6,
}
_LIMITS = {EXPONENT: (1e-3, 6.0), SHAPE: (0.15, 4.0), SLOW_RATIO: (1e-4, 0.5)}
_USUAL = {
    EXPONENT: (0.05, 3.0),
    SHAPE: (0.3, 2.0),
    SLOW_RATIO: (0.01, 0.4),
    FLOOR: (1e-3, 2.0),
    SLOW_AMPLITUDE: (1e-2, 5.0),
}
"""Where the grid looks; floor and slow amplitude as shares of the amplitude."""

_ENDS = {
    ("exponential_floor", FLOOR): "exponential",
    ("two_scale", SLOW_RATIO): "exponential_floor",
    ("two_scale", SLOW_AMPLITUDE): "exponential",
    ("power_cutoff", EXPONENT): "exponential",
    ("power_cutoff", RATE): "power",
}
"""What a form turns into at the lower bound of a parameter."""

_LINEAR_LIMITS = {AMPLITUDE: (1e-9, 1e12), FLOOR: (1e-7, 10.0), SLOW_AMPLITUDE: (1e-7, 1e3)}
_TINY = 1e-300

# Gauss-Legendre nodes and weights on a unit bin: bins are narrow beside the age at which they lie.
_NODES, _WEIGHTS = (np.polynomial.legendre.leggauss(5)[0] + 1) / 2, np.polynomial.legendre.leggauss(5)[1] / 2


class Form(Protocol):
    """A parametric hazard, evaluated for many fits at once."""

    @property
    def name(self) -> str:
        """Name in configs and tables."""
        ...

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters whose logarithms are fitted; the first, rate or exponent, says how fast it falls."""
        ...

    def hazard(self, theta: Floats, age: Floats) -> Floats:
        """Returns the hazard per day, `(P, A)`, for log-parameters `(P, K)` at ages in days."""
        ...

    def mean_hazard(self, theta: Floats, edges: Floats) -> tuple[Floats, Floats]:
        """Returns the mean hazard in each bin, `(P, B)`, and its derivatives by the log-parameters, `(P, K, B)`."""
        ...


@dataclass(frozen=True)
class ExponentialSum:
    """`h(age) = a · exp(−λ · age)`, alone or beside what fades more slowly or not at all; its means are closed.

    The slow part is `b · exp(−q · λ · age)` with `q ≤ 1/2`, the floor is the same with `q = 0`.
    """

    name: str
    parameters: tuple[str, ...]

    def hazard(self, theta: Floats, age: Floats) -> Floats:
        """See `Form.hazard`."""
        value = np.zeros((len(theta), len(age)))
        for amplitude, rate, _ in self._parts(theta):
            value += np.exp(_column(theta, self.parameters, amplitude)) * np.exp(-rate * age)
        if RISE in self.parameters:
            value *= -np.expm1(-age / np.exp(_column(theta, self.parameters, RISE)))
        return value

    def mean_hazard(self, theta: Floats, edges: Floats) -> tuple[Floats, Floats]:
        """See `Form.mean_hazard`; a rising part is the difference of two exponentials."""
        at = {name: place for place, name in enumerate(self.parameters)}
        value = np.zeros((len(theta), len(edges) - 1))
        slopes = np.zeros((len(theta), len(self.parameters), len(edges) - 1))
        for name, rate, depends in self._parts(theta):
            scale = np.exp(_column(theta, self.parameters, name))
            mean, by_rate = (np.ones_like(value), None) if name == FLOOR else _mean_decay(rate, edges)
            if RISE in at:
                refill = 1.0 / np.exp(_column(theta, self.parameters, RISE))
                missing, missing_slope = _mean_decay(rate + refill, edges)
                mean = mean - missing
                by_rate = None if by_rate is None else by_rate - missing_slope * rate / (rate + refill)
                slopes[:, at[RISE]] += scale * missing_slope * refill / (rate + refill)
            slopes[:, at[name]] = scale * mean
            value += slopes[:, at[name]]
            for parameter in depends if by_rate is not None else ():
                slopes[:, at[parameter]] += scale * by_rate
        return value, slopes

    def _parts(self, theta: Floats) -> Iterator[tuple[str, Floats, tuple[str, ...]]]:
        """Yields each part's amplitude, its rate `(P, 1)`, and the parameters whose logarithms move that rate."""
        rate = np.exp(_column(theta, self.parameters, RATE))
        yield AMPLITUDE, rate, (RATE,)
        if SLOW_AMPLITUDE in self.parameters:
            yield SLOW_AMPLITUDE, rate * np.exp(_column(theta, self.parameters, SLOW_RATIO)), (RATE, SLOW_RATIO)
        if FLOOR in self.parameters:
            yield FLOOR, np.zeros_like(rate), ()


@dataclass(frozen=True)
class Curve:
    """`h(age) = a · s(age)` with a shape that is not a sum of exponentials; its means are by quadrature.

    - power: `age^−d`, age in days, so that `a` is the hazard at one day (Anderson & Schooler 1991, "Reflections of the
      environment in memory");
    - power_cutoff: `age^−d · exp(−λ · age)` (Anderson et al. 2014, "The dynamics of repeat consumption");
    - stretched: `exp(−ln 2 · (age / H)^c)`, Kohlrausch's function, with half-life `H = ln 2 / λ`;
    - hyperbolic: `1 / (1 + age / H)`, with half-life `H = ln 2 / λ`.
    """

    name: str
    parameters: tuple[str, ...]

    def hazard(self, theta: Floats, age: Floats) -> Floats:
        """See `Form.hazard`."""
        return self._value(theta, age)[0]

    def mean_hazard(self, theta: Floats, edges: Floats) -> tuple[Floats, Floats]:
        """See `Form.mean_hazard`."""
        nodes = (edges[:-1, None] + np.diff(edges)[:, None] * _NODES).ravel()
        value, relative = self._value(theta, nodes)
        weighted = value.reshape(len(theta), -1, len(_NODES)) * _WEIGHTS
        slopes = np.empty((len(theta), len(self.parameters), len(edges) - 1))
        for place, one in enumerate(relative):
            if np.ndim(one) == 0:
                slopes[:, place] = weighted.sum(-1) * one
            else:
                shaped = np.broadcast_to(one, value.shape).reshape(weighted.shape)
                slopes[:, place] = (weighted * shaped).sum(-1)
        return weighted.sum(-1), slopes

    def _value(self, theta: Floats, age: Floats) -> tuple[Floats, list[Floats | float]]:
        """Returns the hazard `(P, A)` and the derivatives of its logarithm by each log-parameter."""
        given = {name: np.exp(_column(theta, self.parameters, name)) for name in self.parameters}
        by: dict[str, Floats | float] = {AMPLITUDE: 1.0}
        log_value = _column(theta, self.parameters, AMPLITUDE) + np.zeros_like(age)
        if EXPONENT in given:
            by[EXPONENT] = -given[EXPONENT] * np.log(age)
            log_value = log_value + by[EXPONENT]
            if RATE in given:
                by[RATE] = -given[RATE] * age
                log_value = log_value + by[RATE]
        elif SHAPE in given:
            lives = given[RATE] * age / LN2
            spent = LN2 * lives ** given[SHAPE]
            by[RATE] = -given[SHAPE] * spent
            by[SHAPE] = by[RATE] * np.log(lives)
            log_value = log_value - spent
        else:
            lives = given[RATE] * age / LN2
            by[RATE] = -lives / (1.0 + lives)
            log_value = log_value - np.log1p(lives)
        if RISE in given:
            full = age / given[RISE]
            log_value = log_value + np.log(-np.expm1(-full))
            by[RISE] = -full * np.exp(-full) / -np.expm1(-full)
        return np.exp(log_value), [by[name] for name in self.parameters]


def _forms() -> Iterator[Form]:
    for suffix, rise in (("", ()), ("_rise", (RISE,))):
        yield ExponentialSum("exponential" + suffix, (RATE, AMPLITUDE, *rise))
        yield ExponentialSum("exponential_floor" + suffix, (RATE, AMPLITUDE, FLOOR, *rise))
        yield ExponentialSum("two_scale" + suffix, (RATE, AMPLITUDE, SLOW_RATIO, SLOW_AMPLITUDE, *rise))
        yield Curve("power" + suffix, (EXPONENT, AMPLITUDE, *rise))
        yield Curve("power_cutoff" + suffix, (EXPONENT, AMPLITUDE, RATE, *rise))
        yield Curve("stretched" + suffix, (RATE, AMPLITUDE, SHAPE, *rise))
        yield Curve("hyperbolic" + suffix, (RATE, AMPLITUDE, *rise))


FORMS: dict[str, Form] = {form.name: form for form in _forms()}
SIMPLE = ("exponential", "exponential_floor")
"""The simplest forms: one rate, with or without something that does not fade."""


def has_half_life(form: Form) -> bool:
    """Returns whether the fading part of a form halves in a fixed time; a power law halves in ever longer ones."""
    return form.parameters[0] == RATE


def values(form: Form, theta: Floats) -> dict[str, float]:
    """Returns the parameters by name, for the log-parameters `(K,)` of one fit."""
    return dict(zip(form.parameters, np.exp(theta).tolist()))


def log_parameters(form: Form, given: dict[str, float]) -> Floats:
    """Returns the log-parameters `(1, K)` of one fit from its parameters by name."""
    theta: Floats = np.log(np.array([[given[name] for name in form.parameters]], dtype=np.float64))
    return theta


def start(form: Form, returns: Floats, exposure: Floats, edges: Floats) -> Floats:
    """Returns log-parameters `(P, K)` near the maximum of the likelihood, found on a grid.

    On the grid only the shape varies; given the shape, the amplitude that fits best has a closed form.
    """
    candidates = _candidates(form, edges)
    shapes = np.maximum(form.mean_hazard(candidates, edges)[0], _TINY)
    scale = np.maximum(returns.sum(-1)[:, None], _TINY) / np.maximum(exposure @ shapes.T, _TINY)
    log_likelihood = returns.sum(-1)[:, None] * np.log(scale) + returns @ np.log(shapes).T
    best = np.argmax(log_likelihood, axis=1)
    theta: Floats = candidates[best]
    linear = [place for place, name in enumerate(form.parameters) if name in LINEAR]
    theta[:, linear] += np.log(np.take_along_axis(scale, best[:, None], axis=1))
    return theta


def simpler(form: Form) -> Form | None:
    """Returns the form that this one turns into where its last parameters lose their influence, if there is one."""
    if form.name.endswith("_rise"):
        return FORMS[form.name.removesuffix("_rise")]
    nested = {
        "exponential_floor": "exponential",
        "two_scale": "exponential_floor",
        "power_cutoff": "power",
        "stretched": "exponential",
    }
    return FORMS[nested[form.name]] if form.name in nested else None


def ends(form: Form) -> Iterator[tuple[int, Form]]:
    """Yields the place of each parameter at whose lower bound a form is a simpler one, with that form."""
    stem, rise = form.name.removesuffix("_rise"), form.name.endswith("_rise")
    for place, name in enumerate(form.parameters):
        if name == RISE:
            yield place, FORMS[stem]
        elif (stem, name) in _ENDS:
            yield place, FORMS[_ENDS[stem, name] + "_rise" * rise]


def widened(form: Form, narrow: Form, theta: Floats, returns: Floats, exposure: Floats, edges: Floats) -> Floats:
    """Returns log-parameters `(P, K)` of a form at which it is next to a simpler one.

    Args:
        form: the form.
        narrow: the form that `simpler` gives for it.
        theta: `(P, k)`, log-parameters of the simpler form.
        returns: `(P, B)`, which with the exposure says where the bounds lie.
        exposure: `(P, B)`.
        edges: edges of the age bins in days.
    """
    low = bounds(form, returns, exposure, edges)[0]
    above = {RISE: 2.0, RATE: 1.1, FLOOR: 2.0}
    without = {SHAPE: 1.0, SLOW_RATIO: 1e-2}
    columns = []
    for name in form.parameters:
        if name in narrow.parameters:
            columns.append(_column(theta, narrow.parameters, name))
        elif name == SLOW_AMPLITUDE:
            columns.append(_column(theta, narrow.parameters, FLOOR))
        elif name in above:
            columns.append(_column(low, form.parameters, name) + np.log(above[name]))
        else:
            columns.append(np.full((len(theta), 1), np.log(without[name])))
    return np.concatenate(columns, axis=1)


def bounds(form: Form, returns: Floats, exposure: Floats, edges: Floats) -> tuple[Floats, Floats]:
    """Returns the lowest and highest log-parameters, each `(P, K)`."""
    days = exposure.sum(-1)
    overall = np.maximum(returns.sum(-1), 1.0) / np.where(days > 0, days, 1.0)
    ends = []
    for name in form.parameters:
        least, most = _LINEAR_LIMITS[name] if name in LINEAR else _limits(name, edges)
        ends.append((overall * least, overall * most) if name in LINEAR else (least + 0 * overall, most + 0 * overall))
    low, high = (np.log(np.stack(column, axis=1)) for column in zip(*ends))
    return low, high


def rate_bounds(edges: Floats) -> tuple[float, float]:
    """Returns the slowest and the fastest rate per day that bins with these edges can show."""
    return LN2 / (SLOWEST_HALF_LIFE * float(edges[-1])), LN2 / float(edges[1] - edges[0])


def _limits(name: str, edges: Floats) -> tuple[float, float]:
    if name == RATE:
        return rate_bounds(edges)
    if name == RISE:
        # At the lower end the rise is over before anybody is at risk, at the upper end no fall would be seen.
        return float(edges[0]) / 20, float(edges[-1]) / 2
    return _LIMITS[name]


def _candidates(form: Form, edges: Floats) -> Floats:
    """Returns the log-parameters of a grid over the shapes of a form, `(C, K)`, all of amplitude 1."""
    axes = []
    for name in form.parameters:
        if name == AMPLITUDE:
            axes.append([0.0])
            continue
        low, high = _USUAL[name] if name in _USUAL else _limits(name, edges)
        # Ends of the range are where the form turns into a simpler one, so the grid stays inside.
        steps = np.linspace(np.log(low), np.log(high), _GRID[name] + 2)[1:-1]
        axes.append(steps.tolist())
    return np.array(list(itertools.product(*axes)))


def _column(theta: Floats, parameters: tuple[str, ...], name: str) -> Floats:
    place = parameters.index(name)
    return theta[:, place : place + 1]


def _mean_decay(rate: Floats, edges: Floats) -> tuple[Floats, Floats]:
    """Returns the mean of `exp(−λ age)` over each bin and its derivative by `log λ`, `(P, B)` for rates `(P, 1)`."""
    width = np.diff(edges)
    left = np.exp(-rate * edges)
    passed = rate * width
    mean = left[:, :-1] * -np.expm1(-passed) / passed
    return mean, np.diff(edges * left, axis=1) / width - mean
