"""Training and ranking on Amazon Beauty beside RecBole and RecTools, each in turn on the same machine.

    LTSI_REALDATA=DIR LTSI_RECBOLE=PYTHON LTSI_RECTOOLS=PYTHON python benchmarks/speed.py [--batches 20]
                                                                                          [--results FILE]

DIR holds `amazon-beauty/Beauty.txt.gz` and `Beauty_time.txt.gz`. The PYTHONs are interpreters of environments with
`recbole==1.2.1 "numpy<2" "pandas<2.3" "setuptools<80"` and `"rectools[torch]==0.19.0"`; a peer without one is skipped.
Run it on an idle machine: the load is printed first, because threads that share a core with another process spend their
time waiting for each other. A machine that is shared with others is not equally fast for long, so ltsi is measured anew
beside each peer, once before it and once after it, and the mean of the two counts.

All train with the published setting of SASRec on short sequences (width 64, two blocks, two heads, dropout 0.5, length
50, full softmax), and GRU4Rec with one layer. A training event is a position with a target: RecBole makes a sample of
each. Peers train for some batches only, after one that warms up, and their speed is that of those batches; ltsi trains
three epochs, of which the first warms up. Then each ranks the whole catalogue for all users.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from ltsi.products import wide_products
from ltsi.runs.folder import RunFolder
from ltsi.side_by_side import side_by_side
from ltsi.store import open_store

COMMON = ("max_length=50", "batch_size=256", "trainer.max_epochs=3", "model.items.start=random", "weight_average=0")
OURS = {
    "transformer": ("model=transformer", "model.layers=2", "model.dropout=0.5", "model.embedding_dropout=0.5"),
    "gru": ("model=gru", "model.dropout=0.5", "model.embedding_dropout=0.5"),
}
TARGET, MINUTES = 0.055, 5

RECBOLE = """
import json, logging, sys, time, warnings
warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.utils import get_model, get_trainer
folder, name, batches = sys.argv[1], sys.argv[2], int(sys.argv[3])
sys.argv = sys.argv[:1]
settings = {
    "data_path": folder, "load_col": {"inter": ["user_id", "item_id", "timestamp"]}, "show_progress": False,
    "train_neg_sample_args": None, "loss_type": "CE", "MAX_ITEM_LIST_LENGTH": 50, "seed": 1, "checkpoint_dir": folder,
    "hidden_size": 128 if name == "GRU4Rec" else 64, "inner_size": 256, "n_layers": 2, "n_heads": 2, "num_layers": 1,
    "embedding_size": 64, "hidden_dropout_prob": 0.5, "attn_dropout_prob": 0.5, "dropout_prob": 0.5,
    "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full", "group_by": "user"},
    "metrics": ["NDCG"], "topk": [10], "valid_metric": "NDCG@10", "eval_batch_size": 4096 * 4,
}
config = Config(model=name, dataset="beauty", config_dict=settings)
dataset = create_dataset(config)
train, _, test = data_preparation(config, dataset)
model = get_model(config["model"])(config, train.dataset)
trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
model.train()
events = 0
for number, batch in enumerate(train):
    if number == 1:
        start = time.perf_counter()
    if number > batches:
        break
    trainer.optimizer.zero_grad()
    model.calculate_loss(batch).backward()
    trainer.optimizer.step()
    events += len(batch) if number else 0
seconds = time.perf_counter() - start
start = time.perf_counter()
trainer.evaluate(test, load_best_model=False, show_progress=False)
print("RESULT", json.dumps({"events": events, "seconds": seconds, "ranking": time.perf_counter() - start}))
"""

RECTOOLS = """
import json, logging, sys, time, warnings
warnings.filterwarnings("ignore")
import pandas as pd, pytorch_lightning as pl
logging.disable(logging.CRITICAL)
from rectools.dataset import Dataset
from rectools.models import SASRecModel
folder, batches = sys.argv[1], int(sys.argv[3])
log = pd.read_csv(folder + "/beauty/beauty.inter", sep="\\t", names=["user_id", "item_id", "datetime"], header=0)
log["datetime"] = pd.to_datetime(log["datetime"], unit="s")
log["weight"] = 1.0
log = log[log.groupby("user_id").cumcount(ascending=False) > 0]

class Clock(pl.Callback):
    # Of the class: RecTools trains with a copy of the trainer.
    events, start, seconds = 0, 0.0, 0.0
    def on_train_batch_end(self, trainer, module, outputs, batch, number):
        Clock.seconds = time.perf_counter() - Clock.start
        if number:
            Clock.events += int((batch["y"] > 0).sum())
        else:
            Clock.start = time.perf_counter()

def trainer():
    return pl.Trainer(max_epochs=1, limit_train_batches=batches + 1, callbacks=[Clock()], accelerator="cpu",
                      logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
model = SASRecModel(n_factors=64, n_blocks=2, n_heads=2, dropout_rate=0.5, session_max_len=50, loss="softmax",
                    batch_size=256, get_trainer_func=trainer)
data = Dataset.construct(log)
model.fit(data)
users = log["user_id"].unique()
start = time.perf_counter()
model.recommend(users=users, dataset=data, k=20, filter_viewed=True)
print("RESULT", json.dumps({"events": Clock.events, "seconds": Clock.seconds, "ranking": time.perf_counter() - start}))
"""

# Name, variable of its interpreter, script, model; which of ours it stands beside; what the ratios are asked to be.
PEERS = (
    ("RecBole 1.2.1 SASRec", "LTSI_RECBOLE", RECBOLE, "SASRec", "transformer", 45, 4),
    ("RecTools 0.19 SASRec", "LTSI_RECTOOLS", RECTOOLS, "SASRec", "transformer", 35, 4),
    ("RecBole 1.2.1 GRU4Rec", "LTSI_RECBOLE", RECBOLE, "GRU4Rec", "gru", 9, 2),
)


def matmul_floor(n_targets: int, n_items: int, dim: int = 64, block: int = 64) -> float:
    """Measures the three products of a full softmax (logits and the two gradients) for an epoch, in seconds.

    In the fastest way known, which is the one of training: each thread has blocks of its own, the logits of an item lie
    together, and the library is the one that multiplies faster on this processor.
    """
    blocks, threads = 200, torch.get_num_threads()
    vector_ID = torch.randn(n_items, dim)

    def products(state_RD: torch.Tensor) -> None:
        logit_RI, grad_RD, grad_ID = torch.empty(n_items, block).T, torch.empty(block, dim), torch.zeros(n_items, dim)
        for _ in range(blocks):
            torch.mm(state_RD, vector_ID.T, out=logit_RI)
            torch.mm(logit_RI, vector_ID, out=grad_RD)
            grad_ID.addmm_(logit_RI.T, state_RD)

    with wide_products(torch.device("cpu")):
        start = time.perf_counter()
        side_by_side(products, [torch.randn(block, dim) for _ in range(threads)])
    return (time.perf_counter() - start) / (blocks * threads * block) * n_targets


def write_atomic_file(beauty: Path, folder: Path) -> None:
    """Writes Beauty as RecBole reads it; the rank of an event among a user's is its time there, as float32 keeps it."""
    place = folder / "beauty" / "beauty.inter"
    place.parent.mkdir()
    with gzip.open(beauty / "Beauty.txt.gz", "rt") as lines, place.open("w") as out:
        out.write("user_id:token\titem_id:token\ttimestamp:float\n")
        for line in lines:
            user, *items = line.split()
            out.writelines(f"{user}\t{item}\t{rank}\n" for rank, item in enumerate(items))


def run_ltsi(ltsi: Callable[[Sequence[str]], None], name: str, folder: Path) -> dict[str, float]:
    """Trains and ranks one of our models."""
    run = Path(tempfile.mkdtemp(dir=folder)) / name
    ltsi(["train", "data=beauty", *OURS[name], *COMMON, f"hydra.run.dir={run}"])
    ltsi(["eval", f"run={run}", f"hydra.run.dir={run}-eval"])
    done = RunFolder(run)
    # The first epoch warms the caches of the libraries.
    epochs = done.epochs()[1:]
    seconds = sum(float(row["epoch_seconds"]) for row in epochs) / len(epochs)
    events = sum(float(row["epoch_seconds"]) * float(row["events_per_second"]) for row in epochs) / len(epochs)
    return {
        "epoch": seconds,
        "events_per_second": events / seconds,
        "ranking": done.evaluation("test").eval_seconds,
    }


def run_peer(name: str, interpreter: str, script: str, model: str, folder: Path, batches: int) -> dict[str, Any]:
    """Trains a peer for some batches and lets it rank."""
    done = subprocess.run([interpreter, "-c", script, str(folder), model, str(batches)], cwd=folder,
                          capture_output=True, text=True, check=False)  # fmt: skip
    found = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not found:
        sys.exit(f"{name} failed: {done.stderr[-2000:]}")
    facts = json.loads(found[-1].removeprefix("RESULT "))
    return {
        "events_per_second": facts["events"] / facts["seconds"],
        "ranking": facts["ranking"],
    }


def run_to_target(ltsi: Callable[[Sequence[str]], None], folder: Path) -> dict[str, Any]:
    """Trains the default transformer until its validation reaches the target, at most six epochs."""
    run = folder / "target"
    ltsi(["train", "data=beauty", "model=transformer", "trainer.max_epochs=6", f"hydra.run.dir={run}"])
    seconds = 0.0
    for row in RunFolder(run).epochs():
        seconds += float(row["epoch_seconds"]) + float(row["valid_seconds"])
        if float(row["ndcg@10"]) >= TARGET:
            return {"epoch": int(row["epoch"]), "seconds": seconds}
    return {"epoch": None, "seconds": seconds}


def mean(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    """Returns the mean of two measurements, of each quantity."""
    return {quantity: (one[quantity] + other[quantity]) / 2 for quantity in one}


def report(facts: dict[str, Any]) -> list[str]:
    """Returns the page's tables as Markdown."""
    said = [
        "| | training events a second | ltsi beside it | | full ranking of all users, s | ltsi beside it | |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, peer in facts["peers"].items():
        ours, (training, ranking) = peer["ours"], peer["asked"]
        said.append(
            f"| {name} | {peer['events_per_second']:,.0f} | {ours['events_per_second']:,.0f} | "
            f"{ours['events_per_second'] / peer['events_per_second']:.1f} × (aim {training}) | "
            f"{peer['ranking']:.2f} | {ours['ranking']:.2f} | "
            f"{peer['ranking'] / ours['ranking']:.1f} × (aim {ranking}) |"
        )
    transformer, floor, target = facts["transformer"], facts["floor"], facts["target"]
    reached = "not reached" if target["epoch"] is None else f"reached in epoch {target['epoch']}"
    return [
        *said,
        "",
        f"An epoch of the transformer takes {transformer['epoch']:.2f} s, {transformer['epoch'] / floor:.2f} × the "
        f"{floor:.2f} s of the three products of its softmax. With its default settings, validation NDCG@10 "
        f"{TARGET} was {reached}, after {target['seconds']:.0f} s (aim: under {MINUTES * 60} s). "
        f"Load before: {facts['load']:.2f}.",
    ]


def main() -> None:
    """Measures everything in turn and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=20, help="training batches of a peer")
    parser.add_argument("--results", type=Path, help="JSON file for the numbers")
    given = parser.parse_args()
    logs = os.environ.get("LTSI_REALDATA")
    if not logs:
        print("skipped: LTSI_REALDATA does not say where amazon-beauty lies")
        return
    beauty, load = Path(logs).resolve() / "amazon-beauty", os.getloadavg()[0]
    print(f"load {load:.2f}, {os.cpu_count()} cores, torch {torch.__version__}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["LTSI_DATA"] = name

        def ltsi(words: Sequence[str]) -> None:
            program = Path(sys.executable).with_name("ltsi")
            subprocess.run([program, *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        times = f"source.times={beauty}/Beauty_time.txt.gz"
        source = ["source=sequences", f"source.path={beauty}/Beauty.txt.gz", times]
        ltsi(["prepare", *source, "name=beauty", f"hydra.run.dir={name}/prepare"])
        write_atomic_file(beauty, folder)
        store = open_store("beauty")
        n_targets = int((store.offsets[1:] - 2 - store.offsets[:-1] - 1).sum())
        facts: dict[str, Any] = {"load": load, "peers": {}}
        for label, variable, script, model, beside, *asked in PEERS:
            interpreter = os.environ.get(variable)
            if not interpreter:
                print(f"skipped {label}: {variable} does not say which interpreter has it")
                continue
            before = run_ltsi(ltsi, beside, folder)
            peer = run_peer(label, interpreter, script, model, folder, given.batches)
            facts["peers"][label] = {**peer, "ours": mean(before, run_ltsi(ltsi, beside, folder)), "asked": asked}
            print(f"measured {label}", flush=True)
        facts["transformer"] = run_ltsi(ltsi, "transformer", folder)
        facts["floor"] = matmul_floor(n_targets, store.n_items)
        facts["target"] = run_to_target(ltsi, folder)
    if given.results:
        given.results.write_text(json.dumps(facts, indent=2) + "\n")
    print("\n".join(report(facts)))


if __name__ == "__main__":
    main()
