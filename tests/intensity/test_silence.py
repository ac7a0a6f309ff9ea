"""How long the living keep silent, against interests that live for ever and interests of which some ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from ltsi.entities import Entities
from ltsi.intensity.options import DORMANT, StateOptions
from ltsi.intensity.silence import BOUNDS, Gaps, Silence, fit_silence, gaps
from ltsi.intensity.silence import _log_marginal as log_marginal
from ltsi.intensity.states import states_of

WEEKS = 100
LONG_AGO = WEEKS - 50
NOMINAL = 0.05


def draw(
    n: int, shape: float, scale: float, ending: str, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Draws counts of interests that begin at any week, with gamma rates; returns the week in which each ended, too."""
    random, week_T = np.random.default_rng(seed), np.arange(WEEKS)
    rate, start = random.gamma(shape, 1 / scale, n), random.integers(0, WEEKS - 1, n)
    x_ST = random.poisson(rate[:, None], (n, WEEKS)) * (week_T >= start[:, None])
    x_ST[np.arange(n), start] += 1
    left = {"never": np.full(n, WEEKS), "any week": random.integers(start + 1, WEEKS), "at once": start + 1}
    end = np.where(random.random(n) < 0.5, left[ending], WEEKS)
    return x_ST * (week_T < end[:, None]).astype(float), end


def silent(silence: Silence, seen: Gaps) -> NDArray[np.bool_]:
    return silence.probability(np.zeros(len(seen.count_S), dtype=np.int64), *seen) < NOMINAL


@pytest.mark.parametrize("ending", ["never", "any week", "at once"])
@pytest.mark.parametrize(("shape", "scale"), [(0.5, 10.0), (2.0, 10.0)])
def test_the_living_are_called_silent_no_oftener_than_is_said(
    make_series: Callable, shape: float, scale: float, ending: str
) -> None:
    x_ST, end = draw(3_000, shape, scale, ending)
    series = make_series(x_ST)
    found, truth = (silent(one, gaps(series)) for one in (fit_silence(series), Silence(shape, np.array([scale]))))
    lives, gone = end == WEEKS, end < LONG_AGO
    assert found[lives].mean() <= 1.2 * NOMINAL
    assert found[lives].mean() == pytest.approx(truth[lives].mean(), abs=0.01)
    if ending != "never":
        # Where rates differ as much as with shape 0.5, a silence of 100 weeks tells little; so says the truth, too.
        assert found[gone].mean() == pytest.approx(truth[gone].mean(), abs=0.05)
        assert shape < 1 or found[gone].mean() >= 0.95


def test_thin_interests_that_live_are_not_dormant(make_series: Callable) -> None:
    states = states_of(make_series(draw(300, 0.5, 10.0, "never")[0]), StateOptions())
    assert np.mean(states.state_S == DORMANT) <= NOMINAL


def test_silence_is_a_lomax_tail(make_series: Callable) -> None:
    # Seldom enough that a bin holds one event, and from the beginning on.
    rate = np.random.default_rng(1).gamma(4.0, 1 / 64.0, 800)
    x_ST = np.random.default_rng(2).random((800, 250)) < 1 - np.exp(-rate[:, None])
    x_ST[:, 0] = True
    silence = fit_silence(make_series(x_ST))
    zero, nobody = np.zeros(1), np.zeros(1, dtype=np.int64)
    for w in (5.0, 15.0, 40.0):
        # Of series, not of gaps: those that come often have most of these.
        told = silence.probability(nobody, zero, zero, zero + w)[0]
        assert told == pytest.approx(np.exp(-rate * w).mean(), abs=0.03)
    # Who comes every bin is missed sooner than who comes every tenth.
    shape, scale = silence.shape, silence.scale_E[0]
    often, seldom = (silence.probability(nobody, zero + 10, zero + b, zero + 5)[0] for b in (10, 100))
    assert often == pytest.approx(((scale + 10) / (scale + 15)) ** (shape + 10))
    assert seldom == pytest.approx(((scale + 100) / (scale + 105)) ** (shape + 10))


def test_where_nobody_came_back_gaps_are_taken_to_be_short(make_series: Callable) -> None:
    """(β / (β + w))^α with β = 1.5 and α = 2: on average a gap is β / (α − 1) = 1.5 bins."""
    silence = fit_silence(make_series([[1, 0, 0], [0, 0, 2]]))
    zero = np.zeros(2)
    told = silence.probability(np.zeros(2, dtype=np.int64), zero, zero, np.array([1.5, 4.5]))
    assert told == pytest.approx([1 / 4, 1 / 16])


def test_entities_have_rates_of_their_own(make_series: Callable) -> None:
    counts = [draw(n, 2.0, scale, "any week", seed)[0] for seed, (n, scale) in enumerate([(999, 10.0), (999, 40.0)])]
    series = make_series(np.concatenate([*counts, counts[0][:1]]))
    entity_S = np.repeat([0, 1, 2], [999, 999, 1])
    # The fourth entity has no series.
    entities = Entities("item", np.arange(4, dtype=np.int32), list("abcd"))
    silence = fit_silence(replace(series, entity_S=entity_S, entities=entities))
    assert silence.shape == pytest.approx(2.0, rel=0.3)
    assert silence.scale_E[1] / silence.scale_E[0] == pytest.approx(4.0, rel=0.15)
    # Of whom little is known, the middle of all is.
    assert silence.scale_E[0] < silence.scale_E[2] < silence.scale_E[1]
    assert silence.scale_E[2] == pytest.approx(silence.scale_E[3], rel=0.1)


def test_the_slopes_of_the_likelihood_are_its_differences() -> None:
    random = np.random.default_rng(0)
    count = random.integers(0, 4, 40).astype(float)
    seen = Gaps(count, count * random.integers(1, 9, 40), random.integers(0, 30, 40).astype(float))
    theta, size = np.array([0.3, 2.0, -1.0, -2.0]), random.uniform(0.5, 2, 40)
    slopes = log_marginal(theta, seen, size)[1]
    for place in range(len(BOUNDS)):
        step = 1e-5 * (np.arange(len(BOUNDS)) == place)
        higher, lower = (log_marginal(theta + sign * step, seen, size)[0] for sign in (1, -1))
        assert slopes[place] == pytest.approx((higher - lower) / 2e-5, abs=1e-6)
