"""Tmall (IJCAI-15): a time is a month and a day without a year, written as a number, 511 or 0511 for May 11."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import narwhals as nw

from ltsi.sources.files import scan_text

ACTIONS = {"0": "click", "1": "cart", "2": "purchase", "3": "favourite"}
LOG = "user_log_format1.csv"


def dated_log(files: Mapping[str, Path], target: Path, *, year: int) -> None:
    """Writes the log with a date and the names of the actions; see `named.Adapter`.

    Args:
        files: the log under its published name.
        target: the file to write.
        year: of all dates.
    """
    action = nw.col("action_type")
    named = action
    for code, name in ACTIONS.items():
        named = nw.when(action == code).then(nw.lit(name)).otherwise(named)
    log = scan_text([files[LOG]], ",")
    padded = nw.concat_str(nw.lit("0000"), nw.col("time_stamp")).str.tail(4)
    log.with_columns(date=nw.concat_str(nw.lit(str(year)), padded), action_type=named).sink_parquet(target)
