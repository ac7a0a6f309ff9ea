"""YOOCHOOSE (RecSys Challenge 2015): clicks and buys of sessions, two files without headers, joined to one log."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import narwhals as nw

from ltsi.sources.files import scan_text

CLICKS, BUYS = "yoochoose-clicks.dat", "yoochoose-buys.dat"
CLICK_COLUMNS = ("session", "time", "item", "category")
BUY_COLUMNS = ("session", "time", "item", "price", "quantity")


def clicks_and_buys(files: Mapping[str, Path], target: Path) -> None:
    """Writes clicks, then buys, as one table; see `named.Adapter`."""
    names = ("session", "time", "item", "behavior", "category", "price", "quantity")
    clicks = scan_text([files[CLICKS]], ",", CLICK_COLUMNS).with_columns(
        behavior=nw.lit("click"), price=nw.lit(None, nw.String), quantity=nw.lit(None, nw.String)
    )
    parts = [clicks.select(*names)]
    if BUYS in files:
        buys = scan_text([files[BUYS]], ",", BUY_COLUMNS)
        buys = buys.with_columns(behavior=nw.lit("buy"), category=nw.lit(None, nw.String))
        parts.append(buys.select(*names))
    nw.concat(parts).sink_parquet(target)
