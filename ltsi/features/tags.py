"""Several labels a row: genres, keywords, attributes.

```yaml
genres: tags                            # a column of lists
genres: {kind: tags, separator: "|"}    # a column of text
```
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ltsi.features.column import Column
from ltsi.features.encoder import KNOWN, EncodedColumn, Encoder, Layout, check_count
from ltsi.features.vocabulary import fit_labels, look_up, n_codes


@dataclass(frozen=True)
class Tags:
    """A set of labels; blanks around a tag, empty tags and repeated ones do not count.

    Attributes:
        separator: what stands between the tags of a text; None for lists.
        min_count: training events that a tag needs to have a code of its own.
    """

    separator: str | None = None
    min_count: int = 1

    def __post_init__(self) -> None:
        """Refuses what is no separator and what is no count."""
        if self.separator is not None and (not isinstance(self.separator, str) or not self.separator):
            raise ValueError(f"separator={self.separator!r} must be a text such as '|'")
        check_count("min_count", self.min_count, 1)

    def fit(self, column: Column, count_I: NDArray[np.int64]) -> TagsEncoder:
        """Lists the tags; see `Kind.fit`."""
        row, tag = _entries(column, self.separator)
        return TagsEncoder(fit_labels(tag, count_I[row], self.min_count), self.separator)


@dataclass(frozen=True)
class TagsEncoder(Encoder):
    """Tags with codes. A row without tags is a bag of the code 0; unseen tags of a row are one code 1.

    Attributes:
        labels: the tag of code 2, 3, ...
        separator: what stands between the tags of a text.
    """

    labels: list[str]
    separator: str | None

    def encode(self, column: Column) -> EncodedColumn:
        """Looks the tags up. A row's place is UNSEEN if none of its tags is known."""
        size = n_codes(self.labels)
        row, tag = _entries(column, self.separator)
        without = np.setdiff1d(np.arange(len(column)), row)
        # Sorted by row, then by code, each code once in a row.
        key = np.unique(np.concatenate([row * size + look_up(self.labels, tag), without * size]))
        row, code = np.divmod(key, size)
        length_I = np.bincount(row, minlength=len(column))
        offsets = np.concatenate([[0], np.cumsum(length_I)]).astype(np.int64)
        place_I = np.zeros(len(column), dtype=np.uint8)
        np.maximum.at(place_I, row, np.minimum(code, KNOWN).astype(np.uint8))
        return EncodedColumn(place_I, tags=(code.astype(np.int32), offsets))

    def layout(self, name: str) -> Layout:
        """One bag of codes."""
        return Layout(tags={name: n_codes(self.labels)})


def _entries(column: Column, separator: str | None) -> tuple[NDArray[np.int64], pl.Series]:
    """Lists each row's different tags, stripped: row and tag of each."""
    lists = column.lists(separator)
    frame = pl.DataFrame({"row": np.arange(len(column)), "tag": lists}).explode("tag")
    frame = frame.with_columns(pl.col("tag").cast(pl.String).str.strip_chars())
    frame = frame.filter(pl.col("tag").is_not_null() & (pl.col("tag") != "")).unique(maintain_order=True)
    return frame["row"].to_numpy().astype(np.int64), frame["tag"]
