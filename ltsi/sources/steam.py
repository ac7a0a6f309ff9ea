"""Reviews of Steam (Kang and McAuley, 2018): literals of Python with the whole text, of which the log needs little."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from ltsi.sources.records import read_records

COLUMNS = ("username", "product_id", "date", "hours", "early_access")


def review_log(files: Mapping[str, Path], target: Path) -> None:
    """Writes who reviewed what when as CSV, see `named.Adapter`; a column that a review lacks is empty."""
    with target.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        (file,) = (path for name, path in files.items() if name.startswith("steam_reviews"))
        writer.writerows([record.get(column) for column in COLUMNS] for record in read_records(file))
