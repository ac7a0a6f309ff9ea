"""DIGINETICA (CIKM Cup 2016): views and purchases of sessions, a time being a day and milliseconds in the session.

So times are exact inside a session, and of its start they know only the day: every session begins at midnight.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import narwhals as nw

from ltsi.engines.engine import Frame
from ltsi.sources.files import scan_text

BEHAVIORS = {"train-item-views.csv": "view", "train-purchases.csv": "purchase"}
DAY = "%Y-%m-%d"


def sessions(files: Mapping[str, Path], target: Path) -> None:
    """Writes views, then purchases, as one table with times in seconds; see `named.Adapter`."""
    parts = [_events(scan_text([files[name]], ";"), behavior) for name, behavior in BEHAVIORS.items() if name in files]
    nw.concat(parts).sink_parquet(target)


def _events(frame: Frame, behavior: str) -> Frame:
    day = nw.col("eventdate").str.to_datetime(format=DAY).dt.timestamp("ms") // 1_000
    return frame.select(
        session="sessionId",
        item="itemId",
        behavior=nw.lit(behavior),
        time=day + nw.col("timeframe").cast(nw.Int64) // 1_000,
    )
