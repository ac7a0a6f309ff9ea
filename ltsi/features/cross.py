"""Two or more coded features as one: user.segment × item.category.

```yaml
cross:
  - [user.segment, item.category]                           # the combinations met in training
  - {of: [user.segment, item.category], min_count: 5}       # those met often enough
  - {of: [user.user, item.category], buckets: 10000}        # hashed: for ids
```

Features with one code a row can be crossed: categorical, buckets, hour_of_day, day_of_week. Shape suffixes: B rows,
K crossed features.

Every combination of the training events has been met, those of later events have not. So while a network learns, the
combination of an example is treated as new now and then, as often as that of a user's last training event was. What is
new would otherwise be the mark of drawn negatives, or a code that nothing has trained.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import reduce
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ltsi.errors import ConfigError
from ltsi.features.encoder import KNOWN, UNSEEN, check_count

LARGEST_KEY = 2**63 - 1


@dataclass(frozen=True)
class Cross:
    """A declared cross.

    Attributes:
        of: names of the crossed features, such as `user.segment`.
        buckets: codes to hash the combinations into; None gives each combination of the training part its own.
        min_count: training events that a combination needs to have a code of its own; not for hashed ones.
    """

    of: tuple[str, ...]
    buckets: int | None = None
    min_count: int = 1

    def __post_init__(self) -> None:
        """Refuses what is no cross."""
        if len(set(self.of)) < 2:
            raise ValueError("of must name two different features or more")
        check_count("min_count", self.min_count, 1)
        if self.buckets is not None:
            check_count("buckets", self.buckets, 2)
            if self.min_count != 1:
                raise ValueError("min_count goes with combinations that have codes of their own, not with buckets")

    @property
    def name(self) -> str:
        """Name of the cross."""
        return " × ".join(self.of)

    def fit(self, codes: Iterator[Tensor], sizes: list[int], last: Tensor) -> CrossEncoder:
        """Collects the combinations.

        Args:
            codes: int64 `(B, K)`, codes of the crossed features, block after block of the training events.
            sizes: number of codes of each crossed feature.
            last: int64 `(U, K)`, those of the last training event of each user who has some.

        Raises:
            ConfigError: there may be more combinations than can be numbered.
        """
        if self.buckets is not None:
            return CrossEncoder(list(self.of), sizes, self.buckets, [])
        if prod(sizes) > LARGEST_KEY:
            raise ConfigError(
                f"features.cross: {self.name} has too many combinations to number; hash them with buckets=N."
            )
        keys, counts = np.empty(0, np.int64), np.empty(0, np.int64)
        for code_BK in codes:
            met = code_BK[(code_BK >= KNOWN).all(dim=1)]
            keys, counts = _add_up(keys, counts, *np.unique(_number(met, sizes).numpy(), return_counts=True))
        own = _number(last[(last >= KNOWN).all(dim=1)], sizes).numpy()
        # A combination met just often enough would have no code without the event itself.
        new = counts[np.searchsorted(keys, own)] == self.min_count
        chance = float(new.sum() / max(1, len(new)))
        return CrossEncoder(list(self.of), sizes, None, keys[counts >= self.min_count].tolist(), chance)


@dataclass(frozen=True)
class CrossEncoder:
    """A fitted cross.

    Attributes:
        of: names of the crossed features.
        sizes: number of codes of each.
        buckets: codes to hash into, or None.
        keys: the numbers of the combinations with a code, ascending; the first has code 2.
        new: chance at which a combination is treated as new in training; 0 in runs of before that was done.
    """

    of: list[str]
    sizes: list[int]
    buckets: int | None
    keys: list[int]
    new: float = 0.0

    @property
    def name(self) -> str:
        """Name of the cross."""
        return " × ".join(self.of)

    @property
    def n_codes(self) -> int:
        """Number of codes, missing and unseen among them."""
        return KNOWN + (len(self.keys) if self.buckets is None else self.buckets)

    def state(self) -> dict[str, Any]:
        """Returns the fields."""
        return asdict(self)

    def code(self, code_BK: Tensor, keys: Tensor) -> Tensor:
        """Codes combinations: MISSING or UNSEEN as soon as one part is.

        Args:
            code_BK: int64, codes of the crossed features.
            keys: `keys` as an int64 tensor on the device of the codes.

        Returns:
            int64 `(B,)`.
        """
        if self.buckets is not None:
            code_B = KNOWN + _hash(code_BK) % self.buckets
        else:
            code_B = _look_up(_number(code_BK, self.sizes), keys)
        least_B = reduce(torch.minimum, code_BK.unbind(dim=1))
        return torch.where(least_B < KNOWN, least_B, code_B)


def _look_up(key_B: Tensor, keys: Tensor) -> Tensor:
    if not len(keys):
        return torch.full_like(key_B, UNSEEN)
    at_B = torch.searchsorted(keys, key_B).clamp(max=len(keys) - 1)
    return torch.where(keys[at_B] == key_B, KNOWN + at_B, UNSEEN)


def _number(code_BK: Tensor, sizes: list[int]) -> Tensor:
    """Numbers combinations as digits of a mixed radix, int64 `(B,)`."""
    key_B = torch.zeros_like(code_BK[:, 0])
    for code_B, size in zip(code_BK.unbind(dim=1), sizes, strict=True):
        key_B = key_B * size + code_B
    return key_B


def _hash(code_BK: Tensor) -> Tensor:
    """Hashes combinations, int64 `(B,)` from 0: the mixing steps of splitmix64, code after code.

    https://prng.di.unimi.it/splitmix64.c; products wrap around, shifts fill up with zeros.
    """
    hash_B = torch.zeros_like(code_BK[:, 0])
    for code_B in code_BK.unbind(dim=1):
        hash_B = hash_B + code_B + _signed(0x9E3779B97F4A7C15)
        hash_B = (hash_B ^ _shift(hash_B, 30)) * _signed(0xBF58476D1CE4E5B9)
        hash_B = (hash_B ^ _shift(hash_B, 27)) * _signed(0x94D049BB133111EB)
        hash_B = hash_B ^ _shift(hash_B, 31)
    return hash_B & LARGEST_KEY


def _shift(x_B: Tensor, by: int) -> Tensor:
    return (x_B >> by) & ((1 << (64 - by)) - 1)


def _signed(constant: int) -> int:
    return constant - (1 << 64) if constant > LARGEST_KEY else constant


def _add_up(
    keys: NDArray[np.int64], counts: NDArray[np.int64], more: NDArray[np.int64], more_counts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Adds the counts of two lists of keys; returns the keys, ascending, and their counts."""
    both, index = np.unique(np.concatenate([keys, more]), return_inverse=True)
    total = np.zeros(len(both), dtype=np.int64)
    np.add.at(total, index, np.concatenate([counts, more_counts]))
    return both, total
