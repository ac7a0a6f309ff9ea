"""What each position is shown, and encoders that are run afresh over it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ltsi.errors import DataError
from ltsi.histories import Histories
from ltsi.models.lstm import LstmEncoder
from ltsi.models.network import Encoder
from ltsi.models.time_lstm import TimeLstmEncoder
from ltsi.models.views import LastDays, LastEvents, LastSession, View, Windowed
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.store import Store

MINUTES = [0, 10, 45, 45, 200, 229, 230, 5000]
VIEWS: list[View] = [LastEvents(3), LastSession(gap_minutes=30), LastDays(200 / 1440)]


def at(*minutes: list[int], n_items: int = 9) -> Histories:
    """Make histories of events at given minutes, padded."""
    width, length_B = max(map(len, minutes)), torch.tensor([len(row) for row in minutes])
    time_BL = torch.tensor([[*row, *[row[-1]] * (width - len(row))] for row in minutes]) * 60
    item_BL = torch.arange(width).expand_as(time_BL).clone()
    item_BL[torch.arange(width) >= length_B[:, None]] = n_items
    now_BL = torch.cat([time_BL[:, 1:], time_BL[:, -1:] + 600], dim=1)
    return Histories(item_BL, time_BL, length_B, now_BL)


def seen(view: View, histories: Histories) -> list[list[list[int]]]:
    """List the positions that each real position sees."""
    shape = (len(histories), 1, *[histories.item_BL.shape[1]] * 2)
    visible = ~view.blocked(histories).expand(shape)[:, 0]
    return [[row.nonzero().flatten().tolist() for row in one[:n]] for one, n in zip(visible, histories.length_B)]


def test_the_last_events_are_counted() -> None:
    assert seen(LastEvents(1), at([0, 1, 2])) == [[[0], [1], [2]]]
    assert seen(LastEvents(2), at([0, 1, 2], [7])) == [[[0], [0, 1], [1, 2]], [[0]]]
    assert seen(LastEvents(9), at([0, 1, 2])) == [[[0], [0, 1], [0, 1, 2]]]


def test_a_session_ends_where_the_next_event_is_further_away() -> None:
    found = seen(LastSession(gap_minutes=30), at(MINUTES, [0, 30, 61]))
    assert [row[0] for row in found[0]] == [0, 0, 2, 2, 4, 4, 4, 7]
    assert [row[-1] for row in found[0]] == list(range(8))
    assert found[1] == [[0], [0, 1], [2]]


def test_the_last_days_end_before_the_age_that_is_given() -> None:
    found = seen(LastDays(days=200 / 1440), at(MINUTES, [0, 199, 200, 399]))
    assert [row[0] for row in found[0]] == [0, 0, 0, 0, 1, 2, 2, 7]
    assert [row[0] for row in found[1]] == [0, 0, 1, 2], "what is exactly that old is not seen"
    assert [row[0] for row in seen(LastDays(days=1e-6), at([0, 0, 1]))[0]] == [0, 0, 2]


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: type(view).__name__)
def test_nothing_later_is_seen_and_a_position_sees_itself(view: View) -> None:
    for row in seen(view, at(MINUTES, MINUTES[3:], [5])):
        for position, places in enumerate(row):
            assert places == list(range(places[0], position + 1))


def encoders() -> list[Encoder]:
    torch.manual_seed(0)
    made: list[Encoder] = [LstmEncoder(4, 6, 1, 0.0).eval(), TimeLstmEncoder(4, 6, 2, 0.0).eval()]
    for parameter in made[1].parameters():  # what begins at zero, too
        torch.nn.init.normal_(parameter)
    return made


def alone(encoder: Encoder, x_LD: Tensor, time_L: Tensor, now: Tensor) -> Tensor:
    """Encode one window that stands alone; return its last state."""
    length = torch.tensor([len(time_L)])
    window = Histories(torch.zeros(1, len(time_L), dtype=torch.int64), time_L[None], length, now.expand(1, len(time_L)))
    state_D: Tensor = encoder(x_LD[None], window)[0, -1]
    return state_D


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: type(view).__name__)
@pytest.mark.parametrize("encoder", encoders(), ids=lambda encoder: type(encoder).__name__)
def test_a_window_is_encoded_as_if_it_stood_alone(encoder: Encoder, view: View, reverse: bool) -> None:
    """The oracle writes each window down: its last four events, read forth, or back with the gaps in turn."""
    histories, longest = at(MINUTES, MINUTES[3:], [5]), 4
    x_BLD = torch.randn(*histories.item_BL.shape, 4)
    with torch.no_grad():
        state_BLD = Windowed(encoder, view, longest, reverse)(x_BLD, histories)
        for row, places in enumerate(seen(view, histories)):
            for position, shown in enumerate(places):
                window = shown[-longest:]
                time_L, now = histories.time_BL[row, window], histories.now_BL[row, position]
                order = window[::-1] if reverse else window
                if reverse:  # gaps in the order of reading, up to the time of the newest event
                    gap_L = (-histories.time_BL[row, order].diff()).tolist()
                    steps = [int(time_L[-1]) - sum(gap_L[i:]) for i in range(len(gap_L) + 1)]
                    time_L = torch.tensor(steps)
                torch.testing.assert_close(
                    state_BLD[row, position], alone(encoder, x_BLD[row, order], time_L, now), rtol=1e-4, atol=1e-5
                )


@pytest.mark.parametrize("view", [LastSession(30), LastDays(1)], ids=lambda view: type(view).__name__)
def test_a_view_by_time_asks_for_a_clock(view: View, make_store: Callable[..., Store]) -> None:
    events = [[(0, 0), (1, 1), (0, 2), (1, 3)]] * 3
    view.check(LeaveOneOut()(make_store(*events, name="clocked")))
    split = LeaveOneOut()(make_store(*events, clock=False))
    encoder = Windowed(LstmEncoder(4, 6, 1, 0.0), view, 3)
    with pytest.raises(DataError, match=r"model/view=last_\w+ needs times.*prepare it from a source with times"):
        encoder.fit_statistics(split)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LastEvents(0), "a view of 0 events must be of at least 1"),
        (lambda: LastSession(0), "gap_minutes=0 must be a positive number"),
        (lambda: LastDays(-1), "days=-1 must be a positive number"),
        (lambda: Windowed(LstmEncoder(4, 6, 1, 0.0), LastEvents(1), 0), "a window of 0 events must be of at least 1"),
    ],
)
def test_sizes_that_mean_nothing_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
