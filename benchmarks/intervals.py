"""Do the intervals of `ltsi interests` hold what comes? Judged on what happened after `now`, which it has not seen.

    LTSI_REALDATA=DIR python benchmarks/intervals.py --work DIR [--only cdnow,shop]

For each log the command `ltsi interests data=LOG now=MOMENT`, as a user would give it, and then the events of the four
weeks that followed, by how many were forecast of an interest: the share of intervals of 95 % that held them, how many
events were forecast and came of an interest on average, the mean upper end, and the share of interests that kept silent
beside `quiet`, which says how many would.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from churn import ltsi, options, real_logs

from ltsi.intensity.series import WIDTHS, intensity_series
from ltsi.moments import parse_moment
from ltsi.store import open_store

WEEKS = 4
EDGES = np.array([0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0])
"""Forecasts of each size reach from one of these to the next."""


@dataclass(frozen=True)
class Log:
    """A log and the moment it is asked at.

    Attributes:
        path: below the folder of the real logs; None: it is made.
        entity: what interest is in.
        now: the moment, with its four weeks inside the log.
    """

    path: str | None
    entity: str
    now: str


LOGS = {
    "cdnow": Log("cdnow", "all", "1998-05-01"),
    "online_retail": Log("uci-online-retail", "all", "2011-11-01"),
    "shop": Log(None, "category", "2023-11-20"),
}


def measure(work: Path, name: str, log: Log) -> pl.DataFrame:
    """Asks, waits four weeks and compares; a row for each size of forecast and one for all."""
    folder = work / "intervals" / name
    ltsi(work, "interests", f"data={name}", f"entity={log.entity}", f"now={log.now}", f"hydra.run.dir={folder}")
    store = open_store(str(work / "data" / "prepared" / name))
    moment = parse_moment(log.now, "now")
    later = intensity_series(store, log.entity, now=moment + WEEKS * WIDTHS["week"])
    late_M = later.bin_M >= later.bins.count - WEEKS
    came = pl.DataFrame(
        {
            "user": store.users["user"].gather(later.user_S),
            "entity": pl.Series(later.entities.labels).gather(later.entity_S),
            "came": np.add.reduceat(np.where(late_M, later.value_M, 0.0), later.offsets[:-1]),
        }
    )
    said = pl.read_parquet(folder / "interests.parquet").join(came, on=["user", "entity"], how="left")
    said = said.with_columns(
        held=pl.col("came").is_between("forecast_low", "forecast_high"), silent=pl.col("came") == 0
    ).with_columns(pl.col("held", "silent").cast(pl.Float64))
    figures = [
        pl.len().alias("interests"),
        pl.col("held", "forecast", "came", "forecast_high", "quiet", "silent").mean(),
    ]
    size = pl.Series("from", EDGES).gather(np.searchsorted(EDGES, said["forecast"].to_numpy(), side="right") - 1)
    sizes = said.with_columns(size).group_by("from").agg(*figures).sort("from")
    return pl.concat([sizes, said.select(pl.lit(None, pl.Float64).alias("from"), *figures)])


def main() -> None:
    """Measures and prints."""
    given = options(__doc__, LOGS).parse_args()
    data = real_logs(given.work)
    for name in given.only.split(","):
        log = LOGS[name]
        path = [] if log.path is None else [f"source.path={data / log.path}"]
        ltsi(given.work, "prepare", f"source={name}", *path, f"name={name}")
        print(name)
        with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=160, float_precision=3, tbl_hide_dataframe_shape=True):
            print(measure(given.work, name, log), flush=True)


if __name__ == "__main__":
    main()
