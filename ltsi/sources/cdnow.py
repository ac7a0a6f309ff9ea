"""CDNOW: transactions without items in columns of blanks, with or without a header line."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from ltsi.errors import DataError
from ltsi.sources.files import text_lines

COLUMNS = ("customer", "item", "date", "cds", "dollars")
FIELDS = 4  # customer, date, number of CDs, dollars
ITEM = "cd"


def transactions(files: Mapping[str, Path], target: Path) -> None:
    """Writes the transactions as CSV, see `named.Adapter`; what was bought is not known, so all have one item."""
    (file,) = files.values()
    with target.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for number, line in enumerate(text_lines(file), start=1):
            fields = line.split()
            if not fields or (number == 1 and not fields[0].isdigit()):
                continue
            if len(fields) != FIELDS:
                raise DataError(f"{file}, line {number} has {len(fields)} fields, not customer, date, CDs and dollars.")
            customer, date, cds, dollars = fields
            writer.writerow((customer, ITEM, date, cds, dollars))
