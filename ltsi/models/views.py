"""Views: which of the events up to a position an encoder is shown there.

Shape suffixes: B histories, L positions, D width, N real positions of all histories, W places in a window.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from ltsi.decay.statistics import SECONDS_PER_DAY
from ltsi.histories import Histories
from ltsi.models.layers import outside
from ltsi.models.network import Encoder
from ltsi.sequences.split import Split


class View(ABC):
    """A stretch of events that ends at a position. A position always sees itself."""

    def check(self, split: Split) -> None:  # noqa: B027 - most views need nothing
        """Refuses a log that the view cannot be had from.

        Raises:
            DataError: the view needs times and the log has none.
        """

    @abstractmethod
    def first(self, histories: Histories) -> Tensor:
        """Returns the first position seen from each position, int64 `(B, L)`, or `(1, L)` where all are alike."""

    def blocked(self, histories: Histories) -> Tensor:
        """Returns which positions (columns) each position (row) does not see, bool `(B, 1, L, L)` or `(1, 1, L, L)`."""
        return outside(self.first(histories))


class LastEvents(View):
    """The last few events.

    Args:
        events: how many, the position itself included.
    """

    def __init__(self, events: int) -> None:
        if events < 1:
            raise ValueError(f"a view of {events} events must be of at least 1")
        self.events = events

    def first(self, histories: Histories) -> Tensor:
        """Counts back; see `View.first`."""
        place_L = torch.arange(histories.item_BL.shape[1], device=histories.item_BL.device)
        return (place_L - (self.events - 1)).clamp(min=0)[None]


class LastSession(View):
    """The session that a position belongs to, up to it.

    Args:
        gap_minutes: a session ends where the next event is further away.
    """

    def __init__(self, gap_minutes: float) -> None:
        if not gap_minutes > 0:
            raise ValueError(f"gap_minutes={gap_minutes} must be a positive number of minutes")
        self.gap = gap_minutes * 60

    def check(self, split: Split) -> None:
        """Asks for times; see `View.check`."""
        split.store.require_clock("model/view=last_session")

    def first(self, histories: Histories) -> Tensor:
        """Finds where the session began; see `View.first`."""
        place_L = torch.arange(histories.item_BL.shape[1], device=histories.item_BL.device)
        begins_BL = torch.zeros_like(histories.time_BL, dtype=torch.bool)
        begins_BL[:, 1:] = histories.time_BL.diff(dim=1) > self.gap
        return torch.where(begins_BL, place_L, 0).cummax(dim=1).values


class LastDays(View):
    """The events of the last days before a position.

    Args:
        days: an event this old, or older, is not seen.
    """

    def __init__(self, days: float) -> None:
        if not days > 0:
            raise ValueError(f"days={days} must be a positive number of days")
        # Times are whole seconds.
        self.oldest = math.ceil(days * SECONDS_PER_DAY) - 1

    def check(self, split: Split) -> None:
        """Asks for times; see `View.check`."""
        split.store.require_clock("model/view=last_days")

    def first(self, histories: Histories) -> Tensor:
        """Finds the first event young enough; see `View.first`."""
        time_BL = histories.time_BL.contiguous()
        return torch.searchsorted(time_BL, time_BL - self.oldest)


class MaskedEncoder(Encoder):
    """An encoder that sees through a view by itself: by a mask, without windows.

    Attributes:
        view: what a position sees; None: all of the past.
    """

    view: View | None = None


class Windowed(Encoder):
    """Any encoder, run afresh at each position over the events that a view shows there.

    Read backwards, from the newest event to the oldest, an encoder still sees nothing later than the position: its
    window ends there. Times are mirrored with the events, so that they rise and the gaps are those between the same
    events.

    Args:
        encoder: reads a window; its state at the end of the window is the state at the position.
        view: what a position sees.
        longest: events in a window, at most: the last ones of those seen.
        reverse: read windows backwards.
    """

    def __init__(self, encoder: Encoder, view: View, longest: int, reverse: bool = False) -> None:
        super().__init__()
        if longest < 1:
            raise ValueError(f"a window of {longest} events must be of at least 1")
        self.encoder, self.view, self.longest, self.reverse = encoder, view, longest, reverse

    def fit_statistics(self, split: Split) -> None:
        """Asks for what the view needs and lets the encoder count."""
        self.view.check(split)
        self.encoder.fit_statistics(split)

    def forward(self, x_BLD: Tensor, histories: Histories) -> Tensor:
        """Encodes histories, `(B, L, D)`; see `Encoder.forward`. The state of padding is zero."""
        batch, length, dim = x_BLD.shape
        row_N, last_N = histories.real_BL().nonzero(as_tuple=True)
        first_N = self.view.first(histories).expand(batch, length)[row_N, last_N].maximum(last_N - self.longest + 1)
        size_N = last_N - first_N + 1
        step_W = torch.arange(min(self.longest, length), device=x_BLD.device)
        if self.reverse:
            place_NW = torch.maximum(last_N[:, None] - step_W, first_N[:, None])
        else:
            place_NW = torch.minimum(first_N[:, None] + step_W, last_N[:, None])
        flat_NW = row_N[:, None] * length + place_NW
        item_NW, time_NW, now_NW = (
            column_BL.flatten()[flat_NW] for column_BL in (histories.item_BL, histories.time_BL, histories.now_BL)
        )
        now_N = histories.now_BL[row_N, last_N]
        if self.reverse:
            time_NW = time_NW[:, :1] + time_NW[:, -1:] - time_NW
            now_NW = now_N[:, None].expand_as(time_NW)
        user_N = None if histories.user_B is None else histories.user_B[row_N]
        windows = Histories(item_NW, time_NW, size_N, now_NW, user_N)
        x_NWD = x_BLD.reshape(batch * length, dim).index_select(0, flat_NW.flatten()).view(*flat_NW.shape, dim)
        state_ND = windows.last(self.encoder(x_NWD, windows))
        state_BLD = state_ND.new_zeros(batch, length, state_ND.shape[1])
        return state_BLD.index_put((row_N, last_N), state_ND)
