"""One training epoch and one full ranking on Amazon Beauty, beside the matrix products that no implementation avoids.

    LTSI_REALDATA=DIR python benchmarks/training_speed.py

DIR holds `amazon-beauty/Beauty.txt.gz` and `Beauty_time.txt.gz`. Run it on an idle machine: the load is printed first,
because threads that share a core with another process spend their time waiting for each other. The setting is the
published one of SASRec on short sequences: 2 blocks, 2 heads, width 64, dropout 0.5, length 50, 256 users a batch, full
softmax.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from ltsi.runs.folder import RunFolder
from ltsi.store import open_store

MODEL = ["model=transformer", "model.layers=2", "model.heads=2", "model.dim=64", "model.dropout=0.5"]
SETTING = [*MODEL, "model.embedding_dropout=0.5", "max_length=50", "batch_size=256", "trainer.max_epochs=3"]


def matmul_floor(n_targets: int, n_items: int, dim: int = 64, block: int = 128) -> float:
    """Measures the three products of a full softmax (logits and the two gradients) for an epoch, in seconds."""
    state_RD, vector_ID, logit_RI = torch.randn(block, dim), torch.randn(n_items, dim), torch.randn(block, n_items)
    blocks = 200
    start = time.perf_counter()
    for _ in range(blocks):
        torch.mm(state_RD, vector_ID.T)
        torch.mm(logit_RI, vector_ID)
        torch.mm(logit_RI.T, state_RD)
    return (time.perf_counter() - start) / blocks * n_targets / block


def main() -> None:
    """Prints seconds and their ratio to the floor."""
    logs = os.environ.get("LTSI_REALDATA")
    if not logs:
        sys.exit("skipped: LTSI_REALDATA does not say where amazon-beauty lies")
    beauty = Path(logs).resolve() / "amazon-beauty"
    print(f"load {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LTSI_DATA"] = folder
        run = Path(folder) / "run"
        source = [
            "source=sequences",
            f"source.path={beauty}/Beauty.txt.gz",
            f"source.times={beauty}/Beauty_time.txt.gz",
        ]
        place = [f"hydra.run.dir={folder}/prepare"]
        for arguments in (
            ["prepare", *source, "name=beauty", *place],
            ["train", "data=beauty", *SETTING, f"hydra.run.dir={run}"],
            ["eval", f"run={run}", f"hydra.run.dir={folder}/eval"],
        ):
            subprocess.run([Path(sys.executable).with_name("ltsi"), *arguments], check=True, stdout=subprocess.DEVNULL)
        epochs, store = RunFolder(run).epochs(), open_store("beauty")
        n_targets = int((store.offsets[1:] - 2 - store.offsets[:-1] - 1).sum())
        floor = matmul_floor(n_targets, store.n_items)
        # The first epoch also warms the caches of the libraries.
        epoch = min(float(row["epoch_seconds"]) for row in epochs)
        ranking = RunFolder(run).evaluation("test")
    print(f"matrix products of an epoch  {floor:6.2f} s")
    print(f"epoch, best of {len(epochs)}             {epoch:6.2f} s   {epoch / floor:.2f} x the products")
    print(f"training events a second     {n_targets / epoch:9,.0f}")
    print(f"full ranking, {ranking.n_targets:,} users {ranking.eval_seconds:6.2f} s")


if __name__ == "__main__":
    main()
