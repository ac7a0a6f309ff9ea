"""Behaviours with roles: which events are shown and which are asked for, as in "predict the next buy from views".

Where nothing is restricted nothing is copied and nothing is indexed. A restriction makes a view of the store without
the events of neither role, and an index of the inputs if some targets are never shown. Both are temporary files, read
memory-mapped and gone when the process ends.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ltsi.errors import ConfigError, DataError, did_you_mean
from ltsi.sequences.rows import count_per_user
from ltsi.store import ARRAY_DTYPES, OPTIONAL_DTYPES, Store, user_blocks


@dataclass(frozen=True)
class Roles:
    """Which events of a store histories are made of (inputs), and which are predicted (targets).

    Inputs are counted through the whole store: position p is the p-th of them.

    Attributes:
        input_row: int64 `(inputs,)`, row of each input, memory-mapped; None: every event is an input, and its position
            is its row.
        target_code: bool `(behaviors,)`, which behaviours are targets; None: all.
    """

    input_row: NDArray[np.int64] | None = None
    target_code: NDArray[np.bool_] | None = None

    @property
    def restricted(self) -> bool:
        """Whether some event is not an input or not a target."""
        return self.input_row is not None or self.target_code is not None

    def position(self, row: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns the number of inputs in the store before each row, int64."""
        return np.asarray(row if self.input_row is None else np.searchsorted(self.input_row, row))

    def row(self, position: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns the row of the input at each position, int64."""
        return np.asarray(position if self.input_row is None else self.input_row[position])

    def is_target(self, behavior: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Returns which events are targets, given their behaviours."""
        return np.ones(len(behavior), dtype=bool) if self.target_code is None else self.target_code[behavior]


UNRESTRICTED = Roles()
"""Every event is an input and a target."""


def take_roles(
    store: Store, inputs: Sequence[str] | str | None, targets: Sequence[str] | str | None
) -> tuple[Store, Roles]:
    """Gives the events of a store their roles.

    Args:
        store: the store.
        inputs: names of the behaviours that histories are made of; None: those that the store declares.
        targets: names of the behaviours that are predicted; None: those that the store declares.

    Returns:
        The store without the events of neither role (itself, if there are none), and the roles.

    Raises:
        ConfigError: the store has no such behaviour.
        DataError: no event is left, or the temporary files cannot be written.
    """
    shown, asked = _codes(store, "input_behaviors", inputs), _codes(store, "target_behaviors", targets)
    kept = shown | asked
    try:
        view = store if kept.all() else _view(store, kept)
        input_row = None if shown[kept].all() else _rows_of(view, shown)
    except OSError as error:
        raise DataError(
            f"The temporary files of split.input_behaviors and split.target_behaviors cannot be written "
            f"({error.strerror or error}); name a folder with more room in TMPDIR."
        ) from error
    return view, Roles(input_row, None if asked[kept].all() else asked)


def behaviors_named(store: Store, key: str, names: Sequence[str] | str) -> list[str]:
    """Returns the behaviours that a setting names.

    Raises:
        ConfigError: the store has no such behaviour.
    """
    given, known = [names] if isinstance(names, str) else list(names), store.behaviors
    for name in given:
        if name not in known:
            hint = did_you_mean(str(name), known)
            raise ConfigError(
                f"{key}: store '{store.name}' has no behaviour '{name}'.{hint} It has: {', '.join(known)}."
            )
    return given


def _codes(store: Store, key: str, names: Sequence[str] | str | None) -> NDArray[np.bool_]:
    """Returns which behaviours are named, bool `(behaviors,)`."""
    known = store.behaviors
    declared = store.behaviors_in_role(key.partition("_")[0]) if names is None else names
    names = behaviors_named(store, f"split.{key}", declared)
    if not names:
        raise ConfigError(f"split.{key}=[] names no behaviour; give some of {', '.join(known)}, or null for all.")
    return np.array([name in names for name in known])


def _view(store: Store, kept: NDArray[np.bool_]) -> Store:
    """Returns the store with the events of some behaviours alone; users and items keep their indices."""
    count = count_per_user(store.offsets, lambda rows: kept[store.behavior[rows]])
    if not count.any():
        names = ", ".join(name for name, one in zip(store.behaviors, kept, strict=True) if one)
        raise DataError(f"Store '{store.name}' has no event of {names}, so there is nothing to show or to predict.")

    def pieces(name: str) -> Iterator[NDArray[Any]]:
        for first, last in user_blocks(store.offsets):
            rows = slice(store.offsets[first], store.offsets[last])
            yield getattr(store, name)[rows][kept[store.behavior[rows]]]

    of_events = (ARRAY_DTYPES | OPTIONAL_DTYPES).keys() - {"offsets"}
    arrays: dict[str, Any] = {name: _scratch(pieces(name)) for name in of_events if getattr(store, name) is not None}
    return replace(store, offsets=np.concatenate([[0], np.cumsum(count)]), **arrays)


def _rows_of(store: Store, shown: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Returns the rows of the events that are shown, int64."""
    return _scratch(
        np.flatnonzero(shown[store.behavior[store.offsets[first] : store.offsets[last]]]) + store.offsets[first]
        for first, last in user_blocks(store.offsets)
    )


def _scratch(pieces: Iterator[NDArray[Any]]) -> NDArray[Any]:
    """Writes the pieces of an array one after another into a temporary file and maps it; the file has no name."""
    with tempfile.TemporaryFile() as file:
        dtype: np.dtype[Any] = np.dtype(np.int64)
        for piece in pieces:
            dtype = piece.dtype
            file.write(np.ascontiguousarray(piece).data)
        file.flush()
        return np.memmap(file, dtype, mode="r") if file.tell() else np.empty(0, dtype)
