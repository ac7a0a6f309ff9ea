"""The user's own split: a column of the log says train, valid or test for each event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ltsi.errors import DataError
from ltsi.sequences.cutter import Cuts, Cutter
from ltsi.sequences.roles import Roles
from ltsi.sequences.rows import count_per_user
from ltsi.store import PARTS, Store, user_blocks

TRAIN, VALID = PARTS.index("train"), PARTS.index("valid")


@dataclass(frozen=True)
class Column(Cutter):
    """Cuts where the array `part` of the store says; every user's events must be in that order."""

    name: ClassVar[str] = "column"
    advice: ClassVar[str] = "put events of a user who has earlier ones into that part"

    def cut(self, store: Store, roles: Roles) -> Cuts:  # noqa: ARG002
        """Cuts where the part changes; see `Cutter.cut`."""
        part = store.part
        if part is None:
            raise DataError(
                f"split=column needs a column that says train, valid or test for each event, and store '{store.name}' "
                "has none; prepare it with source.columns.part=COLUMN."
            )
        _require_order(store, part)
        offsets = np.asarray(store.offsets)
        valid = offsets[:-1] + count_per_user(offsets, lambda rows: part[rows] == TRAIN)
        test = valid + count_per_user(offsets, lambda rows: part[rows] == VALID)
        places = {name: f"their first '{name}' event" for name in ("valid", "test")}
        return Cuts(valid, test, offsets[1:], places)


def _require_order(store: Store, part: NDArray[np.uint8]) -> None:
    for first, last in user_blocks(store.offsets):
        low = int(store.offsets[first])
        of_block = part[low : store.offsets[last]]
        back = of_block[1:] < of_block[:-1]
        starts = store.offsets[first + 1 : last] - low
        # A user's first event follows nobody's.
        back[starts[(starts > 0) & (starts <= len(back))] - 1] = False
        if back.any():
            row = low + 1 + int(np.argmax(back))
            user = store.users["user"][int(np.searchsorted(store.offsets, row, side="right")) - 1]
            raise DataError(
                f"split=column: user '{user}' of store '{store.name}' has a '{PARTS[part[row]]}' event after a "
                f"'{PARTS[part[row - 1]]}' one; a user's train events must come first, then valid, then test."
            )
