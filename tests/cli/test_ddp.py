"""Distributed training inside a sweep: the other ranks are started again through the command line."""

import csv
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys, types

def run(cfg):
    from pathlib import Path
    import pytorch_lightning as pl
    import torch
    from hydra.core.hydra_config import HydraConfig
    from ltsi.tables import Result, Table

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(cfg.part.dim, 1)

        def training_step(self, batch, _):
            return self.layer(batch).square().mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    trainer = pl.Trainer(accelerator="cpu", devices=2, strategy="ddp", max_steps=1, **quiet)
    trainer.fit(Module(), torch.utils.data.DataLoader(torch.ones(4, cfg.part.dim)))
    folder = Path(HydraConfig.get().runtime.output_dir)
    (folder / f"rank{trainer.global_rank}.txt").write_text(str(cfg.part.dim))
    return Result([Table("World", ["dim", "size"], [[cfg.part.dim, trainer.world_size]])])

sys.modules["ltsi.workflows.train"] = types.ModuleType("ltsi.workflows.train")
sys.modules["ltsi.workflows.train"].run = run
from ltsi.cli.main import run
run()
"""


def test_every_rank_of_every_job_runs_once_in_the_folder_of_the_job(folder: Path, conf: Path) -> None:
    """Real processes: argv, environment and process group are what this is about."""
    script = folder / "program.py"
    script.write_text(SCRIPT)
    arguments = [
        "train",
        "-m",
        "--config-name",
        "toy",
        "--config-dir",
        str(conf),
        "data=x",
        "part=alpha,beta",
        "hydra.sweep.dir=sweep",
    ]
    done = subprocess.run(
        [sys.executable, str(script), *arguments, "--format", "csv"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [row[1:] for row in csv.reader(done.stdout.splitlines()) if row[1:] != ["dim", "size"]]
    assert rows == [["8", "2"], ["4", "2"]]
    written = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("rank*.txt")}
    assert written == {
        "sweep/0/rank0.txt": "8",
        "sweep/0/rank1.txt": "8",
        "sweep/1/rank0.txt": "4",
        "sweep/1/rank1.txt": "4",
    }
    assert not (folder / "outputs").exists()
