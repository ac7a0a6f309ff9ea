"""What networks make of times."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from ltsi.decay.artefact import DecayArtefact
from ltsi.decay.result import FitOptions
from ltsi.decay.return_decay import fit_return_decay
from ltsi.errors import ConfigError, DataError
from ltsi.histories import Histories
from ltsi.models.times import GAP_BUCKETS, MILD_RATE, SPREAD, DecayBias, GapEmbedding, LogGap, Wait, gap_bucket
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.sequences.split import Split
from ltsi.store import Store

MakeHistories = Callable[..., Histories]
DAY = 86_400


def test_buckets_double() -> None:
    seconds = torch.tensor([-5, 0, 1, 2, 3, 6, 7, 14, 15, 2**30 - 2, 2**30 - 1, 2**62])
    assert gap_bucket(seconds).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 29, 30, GAP_BUCKETS - 1]


def test_a_gap_has_the_vector_of_its_bucket_and_the_first_event_its_own() -> None:
    embedding, time_BL = GapEmbedding(3), torch.tensor([[50, 50, 53, 60]])
    assert embedding(time_BL).eq(0).all(), "a gap says nothing before it was learned"
    torch.nn.init.normal_(embedding.embedding.weight)
    rows = embedding.embedding.weight[[GAP_BUCKETS, 0, 2, 3]]
    assert torch.equal(embedding(time_BL)[0], rows)


def test_the_wait_scales_and_shifts_the_answer(make_histories: MakeHistories) -> None:
    wait, asked = Wait(3), make_histories([1, 2, 3], n_items=5, step=6, wait=-9)
    state_BLD = torch.randn(1, 3, 3)
    assert torch.equal(wait(state_BLD, asked), state_BLD)
    torch.nn.init.normal_(wait.scale.weight)
    torch.nn.init.normal_(wait.shift.weight)
    scale, shift = wait.scale.weight[[2, 2, 0]], wait.shift.weight[[2, 2, 0]]
    torch.testing.assert_close(wait(state_BLD, asked)[0], state_BLD[0] * (1 + scale) + shift)


def test_gaps_are_scaled_by_those_of_the_training_part(make_store: Callable[..., Store]) -> None:
    users = [[(0, 0), (1, 100), (0, 1100), (1, 9 * DAY), (2, 99 * DAY)], [(0, 7)], [(1, 5), (2, 65)]]
    split, log_gap = LeaveOneOut(min_events=5)(make_store(*users)), LogGap()
    log_gap.fit_statistics(split)
    gaps = np.log1p([100, 1000, 60])  # the last two events of the first user are held out
    assert float(log_gap.mean) == pytest.approx(gaps.mean())
    assert float(log_gap.spread) == pytest.approx(gaps.std())
    found = log_gap(torch.tensor([[0, 100, 100 + 30 * DAY]]))[0]
    expected = [0.0, *((math.log1p(gap) - gaps.mean()) / gaps.std() for gap in (100, 30 * DAY))]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32))


def test_gaps_that_are_all_alike_or_missing_have_a_scale(make_store: Callable[..., Store]) -> None:
    alike = LeaveOneOut()(make_store(*[[(i, i * 60) for i in range(5)]] * 2, name="alike"))
    single = LeaveOneOut()(make_store([(0, 1), (1, 2), (2, 3)], name="single"))
    for split in (alike, single):
        log_gap = LogGap()
        log_gap.fit_statistics(split)
        assert log_gap(torch.tensor([[0, 60, 10**9]])).isfinite().all()


def test_a_stretch_below_zero_is_none() -> None:
    found = LogGap().scaled(torch.tensor([-DAY, 0]))
    torch.testing.assert_close(found, torch.full((2,), -math.log1p(DAY) / 3))


@pytest.mark.parametrize("gap", [1, 3_600, 7 * DAY])
def test_gaps_that_differ_by_rounding_alone_are_alike(make_store: Callable[..., Store], gap: int) -> None:
    """Seven gaps, whose mean square is not quite the square of their mean."""
    split, log_gap = LeaveOneOut()(make_store(*[[(i, i * gap) for i in range(4)]] * 7)), LogGap()
    log_gap.fit_statistics(split)
    assert log_gap.spread == 1
    found = log_gap(torch.tensor([[0, gap, gap + 30 * DAY]]))[0]
    expected = torch.tensor([0, 0, math.log1p(30 * DAY) - math.log1p(gap)])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_rates_start_around_the_one_that_is_given(heads: int) -> None:
    bias = DecayBias(heads)
    bias.start(0.002)
    rate_H = bias.rate_per_day().detach().double()
    assert float(rate_H.log().mean().exp()) == pytest.approx(0.002, rel=1e-4)
    if heads > 1:
        torch.testing.assert_close(
            rate_H[[0, -1]], torch.tensor([0.0005, 0.008], dtype=torch.float64), rtol=1e-4, atol=0
        )
        ratio = rate_H[1:] / rate_H[:-1]
        torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio), rtol=1e-3, atol=0)


def test_a_rate_of_minutes_is_a_number_too() -> None:
    bias = DecayBias(2)
    bias.start(266.0)  # a half-life of four minutes
    assert bias.rate_per_day().tolist() == pytest.approx([266 / SPREAD, 266 * SPREAD])
    assert bias(torch.tensor([[0, 60]])).isfinite().all()


def test_weights_fade_by_the_exponential_of_the_age() -> None:
    bias = DecayBias(1)
    bias.start(0.1)
    weight_L = bias(torch.tensor([[0, 5 * DAY, 7 * DAY]])).softmax(3)[0, 0, 2]
    left = torch.tensor([-0.7, -0.2, 0.0]).exp()
    torch.testing.assert_close(weight_L, left / left.sum(), rtol=1e-4, atol=1e-6)


def returning(make_store: Callable[..., Store], half_life: float) -> Split:
    """Write a log of users who come back to one item, less and less: the age of a return is exponential in days."""
    random, users = np.random.default_rng(1), []
    for _ in range(150):
        days = np.cumsum(1 + random.exponential(half_life / math.log(2), 4))
        users.append([(int(random.integers(3)), 0), *[(3, int(day * DAY)) for day in days], (0, 2000 * DAY)])
    return LeaveOneOut()(make_store(*users, clock=True, name=f"log{half_life:.0f}"))


def test_the_decay_starts_at_that_of_the_log(make_store: Callable[..., Store]) -> None:
    split, bias = returning(make_store, 20.0), DecayBias(1)
    bias.fit_statistics(split)
    pooled = fit_return_decay(split, np.arange(4), list("abcd"), FitOptions(replicates=0)).pooled.rate_per_day
    assert pooled is not None
    assert pooled > 0
    assert bias.rate_per_day().item() == pytest.approx(pooled, rel=1e-4)
    assert bias.theta_H.requires_grad


def test_a_log_without_returns_starts_at_a_mild_decay(make_store: Callable[..., Store]) -> None:
    bias = DecayBias(1)
    bias.fit_statistics(LeaveOneOut()(make_store(*[[(i, i * DAY) for i in range(5)]] * 3)))
    assert bias.rate_per_day().item() == pytest.approx(MILD_RATE, rel=1e-4)


@pytest.mark.parametrize(("read", "expected"), [(0.02, 0.02), (0.0, MILD_RATE)])
def test_the_decay_starts_at_that_of_a_decay_fit(
    make_store: Callable[..., Store], read: float, expected: float
) -> None:
    split = LeaveOneOut()(make_store(*[[(i, i * DAY) for i in range(5)]] * 3))
    bias = DecayBias(1, decay="a/folder")
    with pytest.raises(ConfigError, match="decay=a/folder was not read"):
        bias.fit_statistics(split)
    bias.given = DecayArtefact(Path("a/folder"), "", "item", "train", {}, "", {}, pooled_rate_per_day=read)
    bias.fit_statistics(split)
    assert bias.rate_per_day().item() == pytest.approx(expected, rel=1e-4)


def test_a_log_without_a_clock_has_no_decay(make_store: Callable[..., Store]) -> None:
    split = LeaveOneOut()(make_store(*[[(i, i) for i in range(5)]] * 3, clock=False))
    with pytest.raises(DataError, match=r"model.decay_bias=true needs times.*prepare it from a source with times"):
        DecayBias(2).fit_statistics(split)
