"""A number, normalised.

```yaml
price: numeric                                # scale: standard
price: {kind: numeric, scale: log1p, clip: 3}
```

| scale | the number becomes |
| --- | --- |
| standard | `(x − mean) / sd` |
| log1p | the same of `sign(x)·log(1 + abs(x))` |
| robust | `(x − median) / (q75 − q25)` |
| min_max | `(x − min) / (max − min)` |
| quantile | `2·F(x) − 1`, F the share of training events below x, those at x counted half; 101 points, else linear |

A column of one value becomes 0. Mean, sd and quantiles weigh each value by its training events.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ltsi.features.column import Column
from ltsi.features.encoder import KNOWN, MISSING, UNSEEN, EncodedColumn, Encoder, Layout, indicator

SCALES = ("standard", "min_max", "log1p", "robust", "quantile")
LEVELS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Numeric:
    """A number in one column, and an indicator of missing ones in another.

    Attributes:
        scale: one of SCALES.
        clip: a normalised number is held between -clip and clip.
    """

    scale: str = "standard"
    clip: float = 5.0

    def __post_init__(self) -> None:
        """Refuses what is no normalisation and what is no bound."""
        if self.scale not in SCALES:
            raise ValueError(f"scale={self.scale} must be one of: {', '.join(SCALES)}")
        if isinstance(self.clip, bool) or not isinstance(self.clip, (int, float)) or not 0 < self.clip < np.inf:
            raise ValueError(f"clip={self.clip} must be a number above 0")

    def fit(self, column: Column, count_I: NDArray[np.int64]) -> NumericEncoder:
        """Fits the normalisation; see `Kind.fit`.

        Raises:
            DataError: no training row has a number.
        """
        numbers = column.numbers()
        present = ~np.isnan(numbers)
        x, weight = numbers[present], count_I[present]
        log, clip = self.scale == "log1p", float(self.clip)
        if not len(x):
            raise column.none_in_training("number")
        span = [float(x.min()), float(x.max())]
        if self.scale == "quantile":
            knots = np.unique(np.quantile(x, LEVELS, weights=weight, method="inverted_cdf"))
            below, upto = (_weight_before(x, weight, knots, side) for side in ("left", "right"))
            return NumericEncoder(
                span, log, 0.0, 1.0, knots.tolist(), ((below + upto) / weight.sum() - 1).tolist(), clip
            )
        center, spread = _center_and_spread(_signed_log(x) if log else x, weight, self.scale)
        return NumericEncoder(span, log, center, spread or 1.0, [], [], clip)


@dataclass(frozen=True)
class NumericEncoder(Encoder):
    """A fitted normalisation.

    Attributes:
        span: least and greatest training number.
        log: whether the logarithm is taken first.
        center: what is subtracted.
        spread: what is divided by.
        knots: quantiles, ascending; empty for the other scales.
        ranks: what each knot becomes.
        clip: bound of the result.
    """

    span: list[float]
    log: bool
    center: float
    spread: float
    knots: list[float]
    ranks: list[float]
    clip: float

    def encode(self, column: Column) -> EncodedColumn:
        """Normalises the numbers. One outside the training range is put at its edge, a missing one becomes 0."""
        x = column.numbers()
        missing = np.isnan(x)
        low, high = self.span
        place_I = np.select([missing, (x < low) | (x > high)], [MISSING, UNSEEN], KNOWN).astype(np.uint8)
        z = self._normalised(np.clip(x, low, high))
        z_I = np.where(missing, 0.0, np.clip(z, -self.clip, self.clip)).astype(np.float32)
        return EncodedColumn(place_I, numeric_IN=np.hstack([z_I[:, None], indicator(place_I)]))

    def layout(self, name: str) -> Layout:
        """The number and its indicator."""
        return Layout(numeric=(name, f"{name}.missing"))

    def _normalised(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.knots:
            return np.interp(x, self.knots, self.ranks)
        return ((_signed_log(x) if self.log else x) - self.center) / self.spread


def _center_and_spread(x: NDArray[np.float64], weight: NDArray[np.int64], scale: str) -> tuple[float, float]:
    if scale == "min_max":
        return float(x.min()), float(x.max() - x.min())
    if scale == "robust":
        low, middle, high = np.quantile(x, [0.25, 0.5, 0.75], weights=weight, method="inverted_cdf")
        return float(middle), float(high - low)
    mean = np.average(x, weights=weight)
    return float(mean), float(np.sqrt(np.average((x - mean) ** 2, weights=weight)))


def _signed_log(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sign(x) * np.log1p(np.abs(x))


def _weight_before(
    x: NDArray[np.float64], weight: NDArray[np.int64], knots: NDArray[np.float64], side: Literal["left", "right"]
) -> NDArray[np.int64]:
    """Returns the weight of the numbers below each knot (left), or up to it (right)."""
    order = np.argsort(x)
    total = np.concatenate([[0], np.cumsum(weight[order])])
    before: NDArray[np.int64] = total[np.searchsorted(x[order], knots, side)]
    return before
