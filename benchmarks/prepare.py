"""Preparing a log: beside RecBole's dataset construction, and from one million to a hundred million events.

    LTSI_REALDATA=DIR LTSI_RECBOLE=PYTHON python benchmarks/prepare.py [--largest 100000000] [--markdown FILE]

DIR holds `amazon-beauty/Beauty.txt.gz` and `Beauty_time.txt.gz`. PYTHON is the interpreter of an environment in which
RecBole is installed (`recbole==1.2.1 "numpy<2" "pandas<2.3" "setuptools<80"`); without it that part is skipped. Both
read the same atomic file, cut it (leave one out) and get their training batches ready, in turn, three times each, with
their libraries imported. Generated logs (uniform users,
popularity falling with the item's number) lie in a temporary folder: about 2.5 GB for the largest.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

PIECE = 5_000_000
START, SPAN = 1_600_000_000, 50_000_000  # seconds

RECBOLE = """
import sys, time, warnings, logging
warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
settings = {
    "data_path": sys.argv[1], "load_col": {"inter": ["user_id", "item_id", "timestamp"]}, "show_progress": False,
    "train_neg_sample_args": None, "loss_type": "CE",
    "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full", "group_by": "user"},
}
sys.argv = sys.argv[:1]
config = Config(model="SASRec", dataset="beauty", config_dict=settings)
for _ in range(3):
    start = time.perf_counter()
    dataset = create_dataset(config)
    data_preparation(config, dataset)
    print("seconds", time.perf_counter() - start, dataset.inter_num)
"""

LTSI = """
import sys, time
from hydra import compose, initialize_config_module
from ltsi.sequences.batches import TrainingBatches
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.store import open_store
from ltsi.workflows import prepare
for turn in range(3):
    with initialize_config_module("ltsi.conf", version_base="1.3"):
        cfg = compose("prepare", [*sys.argv[1:], f"name=turn{turn}"])
    start = time.perf_counter()
    prepare.run(cfg)
    TrainingBatches(LeaveOneOut()(open_store(cfg.name)), 50, 256, seed=1)
    print("seconds", time.perf_counter() - start)
"""

# Peak memory without the pages of memory-mapped files, which the system takes back when it needs them.
WATCHED = """
import runpy, sys, threading, time
peak = 0
def watch():
    global peak
    while True:
        status = dict(line.split(":", 1) for line in open("/proc/self/status"))
        peak = max(peak, int(status["RssAnon"].split()[0]))
        time.sleep(0.02)
threading.Thread(target=watch, daemon=True).start()
from ltsi.cli.main import app
try:
    app(sys.argv[1:], standalone_mode=False)
finally:
    hwm = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print("peak_kb", peak, int(hwm.split()[1]), file=sys.stderr)
"""


def atomic_file(logs: Path, folder: Path) -> int:
    """Writes Beauty as a RecBole atomic file, rank for time as its float32 demands; returns the number of events."""
    file, events = folder / "beauty" / "beauty.inter", 0
    file.parent.mkdir()
    with gzip.open(logs / "amazon-beauty" / "Beauty.txt.gz", "rt") as lines, file.open("w") as out:
        out.write("user_id:token\titem_id:token\ttimestamp:float\n")
        for line in lines:
            user, *items = line.split()
            out.writelines(f"{user}\t{item}\t{place}\n" for place, item in enumerate(items))
            events += len(items)
    return events


def seconds(command: list[str | Path], **environment: str) -> float:
    """Runs a script that prints its seconds; returns the best of them."""
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **environment})
    return min(float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("seconds"))


def beside_recbole(logs: str | None, peer: str | None) -> list[str]:
    if not logs or not peer:
        return ["skipped: LTSI_REALDATA or LTSI_RECBOLE is not set"]
    with tempfile.TemporaryDirectory() as folder:
        events = atomic_file(Path(logs), Path(folder))
        source = ["source=table", f"source.path={folder}/beauty/beauty.inter", "source.time_unit=s"]
        columns = "source.columns={user: 'user_id:token', item: 'item_id:token', time: 'timestamp:float'}"
        theirs = seconds([peer, "-c", RECBOLE, folder])
        ours = seconds([sys.executable, "-c", LTSI, *source, columns], LTSI_DATA=f"{folder}/data")
    return [
        "| | seconds | events a second |",
        "| --- | ---: | ---: |",
        f"| RecBole 1.2.1: read, encode, cut, write prefixes out | {theirs:.2f} | {events / theirs:,.0f} |",
        f"| ltsi: read, audit, encode, write a store, cut | {ours:.2f} | {events / ours:,.0f} |",
        "",
        f"{events:,} events of Amazon Beauty, best of three each: {theirs / ours:.1f} x as many events a second.",
    ]


def generate(n: int, file: Path) -> None:
    """Writes n events of n / 50 users and n / 200 items, in order of time in each piece, as CSV or Parquet."""
    random, users, items = np.random.default_rng(0), max(n // 50, 1), max(n // 200, 1_000)
    writer = None
    with file.open("wb") as stream:
        for first in range(0, n, PIECE):
            size = min(PIECE, n - first)
            table = pl.DataFrame(
                {
                    "user": random.integers(0, users, size),
                    "item": (items * random.random(size) ** 2).astype(np.int64),
                    "time": START + np.sort(random.integers(0, SPAN, size)),
                    "value": random.integers(1, 6, size),
                }
            )
            if file.suffix == ".csv":
                table.write_csv(stream, include_header=first == 0)
            else:
                arrow = table.to_arrow()
                writer = writer or pq.ParquetWriter(stream, arrow.schema)
                writer.write_table(arrow)
        if writer is not None:
            writer.close()


def measure(n: int, suffix: str, engine: str) -> str:
    """Prepares a generated log in a process of its own; returns a row of the table."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("LTSI_SCRATCH")) as folder:
        file = Path(folder) / f"log.{suffix}"
        generate(n, file)
        options = ["prepare", "source=table", f"source.path={file}", "source.columns.value=value", "name=big"]
        environment = {**os.environ, "LTSI_DATA": folder, "OMP_WAIT_POLICY": "PASSIVE"}
        command = [sys.executable, "-c", WATCHED, *options, f"engine={engine}"]
        start = time.perf_counter()
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=folder)
        spent = time.perf_counter() - start
        private, resident = next(line for line in done.stderr.splitlines() if line.startswith("peak_kb")).split()[1:]
        opening = subprocess.run(
            [sys.executable, "-c", OPENING], check=True, capture_output=True, text=True, env=environment, cwd=folder
        )
        opened = json.loads(opening.stdout)
    return (
        f"| {n / 1e6:g} M | {suffix} | {engine} | {spent:.1f} | {spent / n * 1e6:.2f} | {int(private) / 1e6:.2f} "
        f"| {int(resident) / 1e6:.2f} | {opened['seconds'] * 1e3:.0f} | {opened['kilobytes'] / 1e3:.1f} |"
    )


OPENING = """
import json, time
import polars
from ltsi.store import open_store
def resident():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1])
before, start = resident(), time.perf_counter()
store = open_store("big")
print(json.dumps({"seconds": time.perf_counter() - start, "kilobytes": resident() - before, "events": store.n_events}))
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--largest", type=int, default=100_000_000)
    parser.add_argument("--engines", default="polars,duckdb")
    parser.add_argument("--markdown", type=Path)
    given = parser.parse_args()
    said = [f"load {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores, {platform.machine()}, polars {pl.__version__}", ""]
    print(said[0])
    said += beside_recbole(os.environ.get("LTSI_REALDATA"), os.environ.get("LTSI_RECBOLE"))
    print("\n".join(said[2:]))
    head = ("| events | file | engine | seconds | µs an event | peak GB, private | peak GB, with mapped files | "
            "opening ms | opening MB |", "| ---: | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")  # fmt: skip
    said += ["", *head]
    print("\n" + "\n".join(head))
    for n, suffix in ((10**6, "csv"), (5 * 10**6, "csv"), (20 * 10**6, "csv"), (20 * 10**6, "parquet"),
                      (10**8, "parquet")):  # fmt: skip
        if n <= given.largest:
            for engine in given.engines.split(","):
                said.append(measure(n, suffix, engine))
                print(said[-1], flush=True)
    if given.markdown:
        given.markdown.write_text("\n".join(said) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
