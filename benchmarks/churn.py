"""Is the risk that `ltsi interests` names borne out? Judged on what happened after `now`, which it has not seen.

    LTSI_REALDATA=DIR python benchmarks/churn.py --work DIR [--only online_retail,cdnow] [--origins 4]

For each log and each of some moments, one horizon apart and the last one horizon before the log ends: the command
`ltsi interests data=LOG now=MOMENT`, as a user would give it, and then the events that followed. Beside it, what a
person would try first: a logistic regression on the time since the user's last event, another one on that, the number
of events and the time since the first, both fitted, as the risk is, on the horizon before `now`; and the share of quiet
users in that horizon, the same for everybody.

Figures are means over the moments. `brier` and `log_loss` are better the smaller, `auc` the larger; `error` is the mean
distance between what is said and what happened in ten groups of equal size (expected calibration error).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from ltsi.metrics import auc
from ltsi.store import Store, open_store

Floats = NDArray[np.float64]

DAY = 86_400
TINY = 1e-6


@dataclass(frozen=True)
class Log:
    """A log and how it is asked.

    Attributes:
        source: overrides of `ltsi prepare` without the path.
        path: below the folder of the real logs.
        asked: overrides of `ltsi interests`.
        horizon_days: of them.
    """

    source: str
    path: str
    asked: tuple[str, ...]
    horizon_days: int


LOGS = {
    "online_retail": Log("online_retail", "uci-online-retail", ("entity=all", "bin=week", "horizon=4"), 28),
    "cdnow": Log("cdnow", "cdnow", ("entity=all", "bin=week", "horizon=8"), 56),
    "yelp": Log("yelp_s3rec", "yelp", ("entity=all", "bin=week", "horizon=8"), 56),
}


def ltsi(work: Path, *words: str) -> None:
    """Runs a command in the work folder."""
    environment = {name: value for name, value in os.environ.items() if name != "LTSI_DATA"}
    subprocess.run([str(Path(sys.executable).with_name("ltsi")), *words], cwd=work, env=environment, check=True,
                   capture_output=True, text=True)  # fmt: skip


def known_at(store: Store, moment: int) -> Floats:
    """Returns what is known of each user at a moment, `(users, 3)`, NaN where nothing is.

    Logarithms of the days since the last event, of the number of events, and of the days since the first.
    """
    user, time = np.repeat(np.arange(store.n_users), np.diff(store.offsets)), np.asarray(store.time)
    before = time < moment
    last_U, first_U = np.full(store.n_users, np.nan), np.full(store.n_users, np.nan)
    np.fmax.at(last_U, user[before], time[before].astype(np.float64))
    np.fmin.at(first_U, user[before], time[before].astype(np.float64))
    count_U = np.bincount(user[before], minlength=store.n_users).astype(np.float64)
    return np.log1p(np.stack([(moment - last_U) / DAY, count_U, (moment - first_U) / DAY], axis=1))


def quiet(store: Store, moment: int, days: int) -> NDArray[np.bool_]:
    """Tells which users do nothing from a moment on, for some days."""
    user = np.repeat(np.arange(store.n_users), np.diff(store.offsets))
    time = np.asarray(store.time)
    active = np.zeros(store.n_users, dtype=bool)
    active[user[(time >= moment) & (time < moment + days * DAY)]] = True
    return ~active


def logistic(store: Store, moment: int, days: int, columns: list[int]) -> Floats:
    """Returns the risk by some of what is known of a user, `(users,)`, as it was one horizon before."""
    then = moment - days * DAY
    before, now = (known_at(store, at)[:, columns] for at in (then, moment))
    known = ~np.isnan(before).any(axis=1)
    fitted = LogisticRegression(C=np.inf).fit(before[known], quiet(store, then, days)[known])
    risk_U = np.full(store.n_users, np.nan)
    asked = ~np.isnan(now).any(axis=1)
    risk_U[asked] = fitted.predict_proba(now[asked])[:, 1]
    return risk_U


def judged(risk: Floats, happened: NDArray[np.bool_]) -> dict[str, float]:
    """Returns how good stated probabilities were."""
    p = np.clip(risk, TINY, 1 - TINY)
    groups = np.array_split(np.argsort(p, kind="stable"), 10)
    return {
        "auc": float(auc(happened.astype(np.float64), risk)),
        "brier": float(np.square(p - happened).mean()),
        "log_loss": float(-np.where(happened, np.log(p), np.log1p(-p)).mean()),
        "error": sum(len(g) * abs(float(p[g].mean() - happened[g].mean())) for g in groups) / len(p),
    }


def measure(work: Path, name: str, log: Log, origins: int) -> pl.DataFrame:
    """Asks at each moment and waits a horizon."""
    store = open_store(str(work / "data" / "prepared" / name))
    end = int(np.asarray(store.time).max())
    rows = []
    for back in range(origins, 0, -1):
        moment = (end - back * log.horizon_days * DAY) // DAY * DAY
        written = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")
        folder = work / "interests" / f"{name}-{written}"
        ltsi(work, "interests", f"data={name}", f"now={written}", *log.asked, f"hydra.run.dir={folder}")
        said = pl.read_parquet(folder / "users.parquet")
        index = {user: place for place, user in enumerate(store.users["user"].to_list())}
        users = np.array([index[user] for user in said["user"].to_list()])
        happened = quiet(store, moment, log.horizon_days)[users]
        then = moment - log.horizon_days * DAY
        share = quiet(store, then, log.horizon_days)[~np.isnan(known_at(store, then)[:, 0])].mean()
        regressions = {
            "time since the last event": [0],
            "that, number of events, time since the first": [0, 1, 2],
        }
        for model, risk in (
            ("ltsi interests", said["risk"].to_numpy()),
            *((what, logistic(store, moment, log.horizon_days, of)[users]) for what, of in regressions.items()),
            ("share of quiet users", np.full(len(users), float(share))),
        ):
            rows.append({"log": name, "now": written, "users": len(users), "quiet": float(happened.mean()),
                         "model": model, **judged(risk, happened)})  # fmt: skip
    return pl.DataFrame(rows)


def options(description: str | None, logs: Iterable[str]) -> argparse.ArgumentParser:
    """Returns a parser of what the benchmarks of `ltsi interests` have in common."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--only", default=",".join(logs))
    return parser


def real_logs(work: Path) -> Path:
    """Makes the work folder and returns the folder of the real logs."""
    data = os.environ.get("LTSI_REALDATA")
    if data is None:
        raise SystemExit("LTSI_REALDATA is not set; it is the folder of the real logs.")
    work.mkdir(parents=True, exist_ok=True)
    return Path(data).absolute()


def main() -> None:
    """Measures and prints."""
    parser = options(__doc__, LOGS)
    parser.add_argument("--origins", type=int, default=4)
    given = parser.parse_args()
    data = real_logs(given.work)
    for name in given.only.split(","):
        log = LOGS[name]
        ltsi(given.work, "prepare", f"source={log.source}", f"source.path={data / log.path}",
             f"name={name}")  # fmt: skip
        found = measure(given.work, name, log, given.origins)
        means = pl.col("users", "quiet", "auc", "brier", "log_loss", "error").mean()
        with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=160, float_precision=4, tbl_hide_dataframe_shape=True):
            print(found.group_by("log", "model", maintain_order=True).agg(means), flush=True)


if __name__ == "__main__":
    main()
