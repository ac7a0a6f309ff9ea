"""Properties of RetailRocket's items: a log of (time, item, property, value), of which the category is readable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import narwhals as nw
import polars as pl

from ltsi.sources.files import scan_text


@dataclass(frozen=True)
class Properties:
    """The item table of RetailRocket: the last category of each item, and that category's parent.

    Attributes:
        files: names of the files of properties.
        tree: name of the file of categories and their parents.
    """

    files: Sequence[str] = ("item_properties_part1.csv", "item_properties_part2.csv")
    tree: str = "category_tree.csv"

    def read(self, files: Mapping[str, Path], role: str) -> pl.DataFrame | None:
        """Returns `category` and `parent_category` of each item, see `named.TableReader`."""
        parts = [files[name] for name in self.files if name in files]
        if not parts:
            return None
        found = scan_text(parts, ",").filter(nw.col("property") == "categoryid")
        found = found.select(nw.col("itemid").alias(role), time=nw.col("timestamp").cast(nw.Int64), category="value")
        found = found.filter(nw.col("time") == nw.col("time").max().over(role))
        found = found.group_by(role).agg(nw.col("category").max())
        if self.tree in files:
            tree = scan_text([files[self.tree]], ",").select(category="categoryid", parent_category="parentid")
            found = found.join(tree, on="category", how="left")
        return found.sort(role).collect().to_polars()
