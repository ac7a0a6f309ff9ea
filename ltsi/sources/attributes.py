"""Attributes of items as the S3-Rec editions have them: one JSON object, a list of attribute numbers for each item."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ltsi.errors import DataError
from ltsi.sources.files import text_lines


@dataclass(frozen=True)
class Attributes:
    """The item table of an S3-Rec edition; the numbers stand for categories and brands.

    Attributes:
        file: name of the file among those of the set.
    """

    file: str

    def read(self, files: Mapping[str, Path], role: str) -> pl.DataFrame | None:
        """Returns `attributes` of each item, see `named.TableReader`.

        Raises:
            DataError: the file is no such object.
        """
        file = files.get(self.file)
        if file is None:
            return None
        try:
            table = json.loads("".join(text_lines(file)))
            rows = [(str(item), list(map(str, numbers))) for item, numbers in table.items()]
        except (ValueError, TypeError, AttributeError) as error:
            raise DataError(f"{file} is not a JSON object of lists ({error}).") from error
        return pl.DataFrame(rows, schema={role: pl.String, "attributes": pl.List(pl.String)}, orient="row")
