"""The contract of a kind of feature: a declaration is fitted to an encoder, an encoder turns a column into arrays.

Shape suffixes: I rows of a table, N numbers, V numbers of a vector.

A value has one of three places, whatever its kind:

- MISSING: code 0, a bag of the single code 0, or zeros and an indicator of 1;
- UNSEEN, present but not among the training values: code 1; a number outside the training range is put at its edge;
- known: codes from 2 on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ltsi.features.column import Column

MISSING, UNSEEN, KNOWN = 0, 1, 2
"""Places of a value, and the first code of each."""


@dataclass(frozen=True)
class EncodedColumn:
    """One feature of every row of a table. A kind fills what it has.

    Attributes:
        place_I: uint8, MISSING, UNSEEN or KNOWN.
        code_I: int32.
        numeric_IN: float32, numbers and indicators.
        tags: int32 codes of all bags in row order, and int64 `(I + 1,)`, where the bag of each row begins.
        vector_IV: float32.
    """

    place_I: NDArray[np.uint8]
    code_I: NDArray[np.int32] | None = None
    numeric_IN: NDArray[np.float32] | None = None
    tags: tuple[NDArray[np.int32], NDArray[np.int64]] | None = None
    vector_IV: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Layout:
    """Which column of a batch is which feature, in order; features are named `item.price`.

    Attributes:
        categorical: number of codes of each column, by feature.
        numeric: name of each column; indicators are named `item.price.missing`.
        tags: number of codes of each bag, by feature.
        vector: length of each vector, by feature.
        cross: number of codes of each column, by feature.
    """

    categorical: dict[str, int] = field(default_factory=dict)
    numeric: tuple[str, ...] = ()
    tags: dict[str, int] = field(default_factory=dict)
    vector: dict[str, int] = field(default_factory=dict)
    cross: dict[str, int] = field(default_factory=dict)

    def __add__(self, other: Layout) -> Layout:
        return Layout(
            self.categorical | other.categorical,
            self.numeric + other.numeric,
            self.tags | other.tags,
            self.vector | other.vector,
            self.cross | other.cross,
        )


class Encoder(ABC):
    """A fitted feature: a dataclass whose fields are plain data, so that it is saved as they are."""

    @abstractmethod
    def encode(self, column: Column) -> EncodedColumn:
        """Encodes a column, be it the one that was fitted or another of its kind."""

    @abstractmethod
    def layout(self, name: str) -> Layout:
        """Returns the columns that the feature of that name takes."""

    def state(self) -> dict[str, Any]:
        """Returns the fields."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]


class Kind(Protocol):
    """A declared feature; its fields are the options of the kind."""

    def fit(self, column: Column, count_I: NDArray[np.int64]) -> Encoder:
        """Fits the feature.

        Args:
            column: the rows of the training part only.
            count_I: training events of each row, at least 1.
        """
        ...


def indicator(place_I: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Returns 1 where a value is missing, float32 `(I, 1)`."""
    return np.asarray(place_I == MISSING, dtype=np.float32)[:, None]


def check_count(option: str, value: object, least: int) -> None:
    """Refuses an option that is no whole number of at least `least`.

    Raises:
        ValueError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{option}={value} must be a whole number from {least}")
