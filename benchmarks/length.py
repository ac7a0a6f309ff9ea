"""Histories of ten thousand events and catalogues of a million items: memory and time as each grows tenfold.

    python benchmarks/length.py [--events 60000] [--longest 10000] [--items 1000000]

Each row is one `ltsi train` of one epoch, with its ranking of the validation part, in a process of its own. Logs are
generated: the next item is the last one plus a small step, so there is something to learn. Rows about length have the
same events, and the same positions in a batch; rows about items the same events and a loss that draws its negatives.
CPU seconds are those of the whole process, of which starting takes a few: where the machine is busy, trust them alone.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from prepare import WATCHED

from ltsi.runs.folder import RunFolder
from ltsi.store import EncodedEvents, store_path
from ltsi.store_writer import write_store

POSITIONS = 20_000  # in a batch
HEAD = ("| model | events a history | items | µs an event, training | ms a history, ranking | peak GB, private "
        "| CPU s, all |", "| --- | ---: | ---: | ---: | ---: | ---: | ---: |")  # fmt: skip
# What sees all pairs of positions is measured up to here only.
LONGEST_SQUARE = 1_000


def generate(name: str, n_users: int, length: int, n_items: int) -> None:
    """Writes a store of users who wander through the catalogue, an event an hour."""
    random = np.random.default_rng(0)
    steps = random.integers(1, 4, (n_users, length))
    steps[:, 0] = random.integers(0, n_items, n_users)
    time = 1_600_000_000 + 3600 * np.arange(length)
    events = EncodedEvents(
        offsets=np.arange(n_users + 1, dtype=np.int64) * length,
        item=(steps.cumsum(axis=1) % n_items).astype(np.int32).ravel(),
        time=np.tile(time, n_users).astype(np.int64),
        behavior=np.zeros(n_users * length, dtype=np.uint8),
    )
    write_store(
        store_path(name),
        events,
        items=pl.DataFrame({"item": [str(item) for item in range(n_items)]}),
        users=pl.DataFrame({"user": [str(user) for user in range(n_users)]}),
        manifest={"time": {"clock": True}},
    )


def measure(label: str, length: int, n_items: int, events: int, settings: list[str]) -> str:
    """Trains and ranks in a process of its own; returns a row of the table."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("LTSI_SCRATCH")) as folder:
        os.environ["LTSI_DATA"] = folder
        generate("long", max(2, events // length), length, n_items)
        run = Path(folder) / "run"
        sizes = [f"max_length={length}", f"batch_size={max(1, POSITIONS // length)}", "trainer.max_epochs=1"]
        command = [sys.executable, "-c", WATCHED, "train", "data=long", *settings, *sizes, f"hydra.run.dir={run}"]
        before = sum(os.times()[2:4])
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder)
        spent = sum(os.times()[2:4]) - before
        if done.returncode:
            return f"| {label} | {length:,} | {n_items:,} | {done.stderr.strip().splitlines()[-1]} | | | |"
        private = next(line for line in done.stderr.splitlines() if line.startswith("peak_kb")).split()[1]
        (epoch,), ranking = RunFolder(run).epochs(), RunFolder(run).evaluation("valid")
    return (
        f"| {label} | {length:,} | {n_items:,} | {1e6 / float(epoch['events_per_second']):.0f} "
        f"| {1e3 * ranking.eval_seconds / ranking.n_targets:.1f} | {int(private) / 1e6:.2f} | {spent:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--longest", type=int, default=10_000)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--models", default="gru,lru,transformer window=50,transformer")
    given = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores\n\n" + "\n".join(HEAD), flush=True)
    for label in given.models.split(","):
        name, *rest = label.split()
        settings = [f"model={name}", *(f"model.{key}" for key in rest)]
        for length in (100, 1_000, 10_000):
            if length <= (LONGEST_SQUARE if label == "transformer" else given.longest):
                print(measure(label, length, 1_000, given.events, settings), flush=True)
    for n_items in (10_000, 100_000, 1_000_000):
        if n_items <= given.items:
            settings = ["model=gru", "loss=sampled_softmax"]
            print(measure("gru, sampled softmax", 100, n_items, given.events, settings), flush=True)


if __name__ == "__main__":
    main()
