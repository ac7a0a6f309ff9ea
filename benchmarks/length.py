"""Histories of ten thousand events and catalogues of a million items: memory and time as each grows tenfold.

    python benchmarks/length.py [--longest 10000] [--items 1000000] [--plot FILE]

Each row is one `ltsi train` of one epoch, with its ranking of the validation part, in a process of its own. Logs are
generated: the next item is the last one plus a small step, so there is something to learn. First users grow, then the
events of each with as many fewer users and the same positions in a batch, then items with a loss that draws negatives.
CPU seconds are those of the whole process, of which starting takes a few: where the machine is busy, trust them alone.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import polars as pl
from prepare import WATCHED

from ltsi.runs.folder import RunFolder
from ltsi.store import EncodedEvents, store_path
from ltsi.store_writer import write_store

POSITIONS = 20_000  # in a batch
EVENTS = 60_000  # of a log, where not the users grow
GROWING = {"n_users": "users", "length": "events a history", "n_items": "items"}
HEAD = (
    "| model | users | events a history | items | µs an event, training | ms a history, ranking | peak GB, private "
    "| CPU s, all |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
)
# What sees all pairs of positions is measured up to here only.
LONGEST_SQUARE = 1_000


@dataclass(frozen=True)
class Row:
    """What one training took; `training` in µs an event, `ranking` in ms a history, `peak` in GB, `spent` in CPU s."""

    growing: str
    label: str
    n_users: int
    length: int
    n_items: int
    training: float
    ranking: float
    peak: float
    spent: float

    def __str__(self) -> str:
        return (
            f"| {self.label} | {self.n_users:,} | {self.length:,} | {self.n_items:,} | {self.training:.0f} "
            f"| {self.ranking:.1f} | {self.peak:.2f} | {self.spent:.0f} |"
        )


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


def measure(growing: str, label: str, settings: Sequence[str], n_users: int, length: int, n_items: int) -> Row:
    """Trains and ranks in a process of its own."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("LTSI_SCRATCH")) as folder:
        os.environ["LTSI_DATA"] = folder
        generate("long", n_users, length, n_items)
        run = Path(folder) / "run"
        sizes = [f"max_length={length}", f"batch_size={max(1, POSITIONS // length)}", "trainer.max_epochs=1"]
        command = [sys.executable, "-c", WATCHED, "train", "data=long", *settings, *sizes, f"hydra.run.dir={run}"]
        before = sum(os.times()[2:4])
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder)
        spent = sum(os.times()[2:4]) - before
        if done.returncode:
            sys.exit(f"{label} with {length:,} events and {n_items:,} items: {done.stderr.strip().splitlines()[-1]}")
        private = next(line for line in done.stderr.splitlines() if line.startswith("peak_kb")).split()[1]
        (epoch,), ranking = RunFolder(run).epochs(), RunFolder(run).evaluation("valid")
    training, ranked = 1e6 / float(epoch["events_per_second"]), 1e3 * ranking.eval_seconds / ranking.n_targets
    return Row(growing, label, n_users, length, n_items, training, ranked, int(private) / 1e6, spent)


def draw(rows: Sequence[Row], place: Path) -> None:
    """Draws time and memory by what grows."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, len(GROWING), figsize=(11, 5.5), sharex="col", sharey="row")
    for column, growing in enumerate(GROWING):
        for label, found in groupby([row for row in rows if row.growing == growing], lambda row: row.label):
            line = list(found)
            sizes = [getattr(row, growing) for row in line]
            axes[0, column].plot(sizes, [row.training for row in line], marker="o", label=label)
            axes[1, column].plot(sizes, [row.peak for row in line], marker="o", label=label)
        axes[1, column].set(xscale="log", yscale="log", xlabel=GROWING[growing])
        axes[0, column].set(yscale="log")
        axes[0, column].legend(fontsize="small")
    axes[0, 0].set_ylabel("µs an event, training")
    axes[1, 0].set_ylabel("peak GB")
    figure.tight_layout()
    figure.savefig(place)


def questions(models: Sequence[str], longest: int, items: int) -> Iterator[tuple[str, str, list[str], int, int, int]]:
    """Lists what grows, the model's label and settings, users, events a history, items."""
    for n_users in (300, 3_000, 30_000):
        yield "n_users", "gru", ["model=gru"], n_users, 20, 1_000
    for label in models:
        name, *rest = label.split()
        for length in (100, 1_000, 10_000):
            if length <= (LONGEST_SQUARE if label == "transformer" else longest):
                settings = [f"model={name}", *(f"model.{key}" for key in rest)]
                yield "length", label, settings, EVENTS // length, length, 1_000
    for optimizer in ("adamw", "lazy_adamw"):
        for n_items in (10_000, 100_000, 1_000_000, 10_000_000):
            if n_items <= items:
                settings = ["model=gru", "loss=sampled_softmax", f"optimizer={optimizer}"]
                yield "n_items", f"gru, sampled softmax, {optimizer}", settings, EVENTS // 100, 100, n_items


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--longest", type=int, default=10_000)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--models", default="gru,lru,transformer window=50,transformer")
    parser.add_argument("--plot", type=Path, help="picture to write, such as length.svg")
    given = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores\n\n" + "\n".join(HEAD), flush=True)
    rows = []
    for question in questions(given.models.split(","), given.longest, given.items):
        rows.append(measure(*question))
        print(rows[-1], flush=True)
    if given.plot:
        draw(rows, given.plot)


if __name__ == "__main__":
    main()
