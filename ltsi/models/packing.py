"""Short windows one after another in the same rows, so that there is little padding and few operations.

Shape suffixes: B rows, L positions of a row, W windows, N real positions of a batch, P positions of all rows.
Source: Krell et al. 2021, "Efficient Sequence Packing without Cross-contamination": attention is masked and positions
are counted anew where the next one begins. They pack by a histogram of lengths, too.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ltsi.histories import Histories
from ltsi.sequences.rows import ragged

NARROWEST, NARROW = 32, 64
"""Positions of a row at least, and how many are no reason for a narrower one: each is compared with all of its row,
seen or not, but parts of different widths are computed one after another."""

SMALLEST_PART, MOST_PARTS = 600, 8
"""Positions of a part, or so, where there are more than two parts, and parts at most. A CPU encodes parts side by side;
small ones cost more."""


@dataclass(frozen=True)
class Packed:
    """The windows of a batch, packed.

    Attributes:
        parts: rows of the same width each, with windows one after another (`Histories.first_BL`).
        order_N: where each real position of the batch, group after group, is among the real positions of the parts.
    """

    parts: list[Histories]
    order_N: Tensor


def pack(groups: Sequence[Histories], padding: int) -> Packed:
    """Packs the windows of a batch; what order they come in decides nothing but which row they are in.

    Args:
        groups: on a CPU, in rows of their own, each with an event at least. Who the users are is left out.
        padding: the item of positions where there is none.
    """
    length_W = np.concatenate([histories.length_B.numpy() for histories in groups])
    widths, rows = _filled(length_W.tolist())
    width_B, size_B = np.array(widths), np.array([len(row) for row in rows])
    row_W, ahead_W = np.empty_like(length_W), np.empty_like(length_W)
    in_order_W = np.concatenate(rows)
    row_W[in_order_W] = np.repeat(np.arange(len(rows)), size_B)
    ahead_W[in_order_W] = _before(length_W[in_order_W])
    fill_B = np.bincount(row_W, length_W, len(rows)).astype(np.int64)
    # Where a window begins: behind those that are in its row before it.
    first_W = ahead_W - _before(fill_B)[row_W]

    begin_B = _before(width_B)
    _, column_P = ragged(np.zeros_like(width_B), width_B)
    goal_W = begin_B[row_W] + first_W
    window_N, goal_N = ragged(goal_W, goal_W + length_W)
    first_P = column_P.copy()  # padding sees itself alone
    first_P[goal_N] = first_W[window_N]
    # Padding comes from a place of its own, behind all others.
    n_places = sum(histories.item_BL.numel() for histories in groups)
    source_P = np.full(len(column_P), n_places)
    given_W = _before(np.repeat([each.item_BL.shape[1] for each in groups], [len(each) for each in groups]))
    _, source_P[goal_N] = ragged(given_W, given_W + length_W)
    order_P = np.zeros_like(column_P)
    order_P[goal_N] = 1
    order_N = torch.from_numpy((order_P.cumsum() - 1)[goal_N])

    def moved(name: str, elsewhere: int) -> Tensor:
        flat = [getattr(histories, name).flatten() for histories in groups]
        return torch.cat([*flat, torch.tensor([elsewhere])]).index_select(0, torch.from_numpy(source_P))

    columns = moved("item_BL", padding), moved("time_BL", 0), moved("now_BL", 0), torch.from_numpy(first_P)
    parts = []
    for begin, end in _parts(widths):
        flat = slice(int(begin_B[begin]), int(begin_B[begin]) + (end - begin) * widths[begin])
        item_BL, time_BL, now_BL, first_BL = (column_P[flat].view(end - begin, -1) for column_P in columns)
        fill = torch.from_numpy(fill_B[begin:end])
        parts.append(Histories(item_BL, time_BL, fill, now_BL, first_BL=first_BL))
    return Packed(parts, order_N)


def _before(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the sum of those before each."""
    sums: NDArray[np.int64] = np.cumsum(sizes) - sizes
    return sums


def _filled(lengths: Sequence[int]) -> tuple[list[int], list[list[int]]]:
    """Fills rows, each with the longest window that is left, and then with the longest that still fit.

    A row is as wide as the longest window of all, until windows are left that are no longer than half of it. Rows of up
    to `NARROW` positions stay as they are.

    Returns:
        The width of each row, and the windows in it in order; widths fall.
    """
    of_length: list[list[int]] = [[] for _ in range(max(lengths) + 1)]
    for window, length in enumerate(lengths):
        of_length[length].append(window)
    longest = len(of_length) - 1
    width, widths, rows = max(NARROWEST, longest), [], []
    while longest:
        if not of_length[longest]:
            longest -= 1
            continue
        if 2 * longest <= width and width > NARROW:
            width = max(NARROWEST, longest)
        widths.append(width)
        row: list[int] = []
        free, size = width, longest
        while size:
            waiting = of_length[size]
            n = min(len(waiting), free // size)
            if n:
                row += waiting[-n:]
                del waiting[-n:]
                free -= n * size
            size = min(size - 1, free)
        rows.append(row)
    return widths, rows


def _parts(widths: Sequence[int]) -> list[tuple[int, int]]:
    """Cuts rows into stretches of one width: in all a power of two, which any number of cores shares best, or so."""
    parts: list[tuple[int, int]] = []
    total, begin = sum(widths), 0
    asked = min(MOST_PARTS, 2 ** max(1, int(math.log2(total / SMALLEST_PART))))
    for width, rows in Counter(widths).items():
        n_parts = min(rows, max(1, round(asked * rows * width / total)))
        cuts = [begin + part * rows // n_parts for part in range(n_parts + 1)]
        parts += pairwise(cuts)
        begin += rows
    return parts
