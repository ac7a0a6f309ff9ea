"""Popularity that fades, against sums by hand."""

from collections.abc import Callable

import pytest
import torch

from ltsi.errors import ConfigError
from ltsi.histories import Histories
from ltsi.models.trend import Trend
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.store import Store

DAY = 86_400
MakeHistories = Callable[..., Histories]


def asked(day: float, n_items: int = 4) -> Histories:
    """One event of item 0 on day 0, asked on `day`."""
    time_BL = torch.zeros(1, 1, dtype=torch.int64)
    return Histories(torch.zeros_like(time_BL), time_BL, torch.ones(1, dtype=torch.int64), time_BL + int(day * DAY))


def fitted(make_store: Callable[..., Store], clock: bool = True, **settings: float) -> Trend:
    # The last two events of each user are held out.
    users = [[(item, day * DAY) for day in days] + [(3, 90 * DAY), (3, 91 * DAY)] for item, days in enumerate(DAYS)]
    model = Trend(4, **settings)
    model.fit_statistics(LeaveOneOut()(make_store(*users, n_items=4, clock=clock)))
    return model


DAYS = [[0, 8], [16, 16], [40]]


@pytest.mark.parametrize(
    ("day", "left"),
    [
        # Half of what there was is left after 8 days; what a step of 2 days holds is of its beginning.
        (0, [0.0, 0.0, 0.0, 0.0]),
        (2, [0.5**0.25, 0, 0, 0]),
        (8, [0.5, 0, 0, 0]),
        (16, [0.25 + 0.5, 0, 0, 0]),
        (17.9, [0.25 + 0.5, 0, 0, 0]),
        (24, [0.125 + 0.25, 1, 0, 0]),
        (48, [(0.125 + 0.25) / 8, 0.125, 0.5, 0]),
        (48 + 80, [(0.125 + 0.25) / 8 / 1024, 0.125 / 1024, 0.5 / 1024, 0]),
    ],
)
def test_events_before_now_fade(make_store: Callable[..., Store], day: float, left: list[float]) -> None:
    model = fitted(make_store, half_life=8.0, prior=0.1)
    torch.testing.assert_close(model.recent(asked(day).now_B), torch.tensor([left]))
    expected = torch.tensor(left) + 0.1 * torch.tensor([2.0, 2.0, 1.0, 0.0])
    torch.testing.assert_close(model(asked(day)).exp()[0], expected)


def test_without_a_clock_it_is_popularity(make_store: Callable[..., Store]) -> None:
    model = fitted(make_store, clock=False)
    torch.testing.assert_close(model(asked(20)).softmax(1), torch.tensor([[0.4, 0.4, 0.2, 0.0]]))


def test_questions_of_different_times_in_one_batch(make_store: Callable[..., Store]) -> None:
    model = fitted(make_store, half_life=8.0)
    now_B = torch.tensor([48, 2, 128, 16]) * DAY
    torch.testing.assert_close(model.recent(now_B), torch.cat([model.recent(now_B[i : i + 1]) for i in range(4)]))


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="half_life=0 must be above 0"):
        Trend(4, half_life=0)
    with pytest.raises(ConfigError, match="prior=-1 must be above 0"):
        Trend(4, prior=-1)


def test_a_gate_learns_nothing_from_the_clock(make_store: Callable[..., Store]) -> None:
    model = fitted(make_store)
    early, late = (model(asked(day)) for day in (10, 1_000))
    assert torch.equal(model.evidence(early, early.logsumexp(1)), model.evidence(late, late.logsumexp(1)))
