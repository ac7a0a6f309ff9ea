"""Checkpoints that are whole or absent, and that load without running code."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import nn

from ltsi.errors import RunError
from ltsi.writing import written_whole

MODEL_PREFIX = "model."
ZIP = b"PK"
"""How every file begins that `torch.save` writes; no other can be mapped."""


NO_ROOM = 1 << 20
"""Bytes; where no more are free, a checkpoint that could not be written did not fit (some file systems keep a rest)."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the file and renames: a run killed while it saves keeps its last whole checkpoint."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Saves a checkpoint.

        Raises:
            UnwritableError: the disk refuses, for instance because it is full.
        """
        with written_whole(Path(path)) as partial:
            try:
                torch.save(checkpoint, partial)
            except RuntimeError as error:
                # What torch's archive makes of a full disk, in words of its own.
                if shutil.disk_usage(partial.parent).free < NO_ROOM:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
                raise OSError(str(error)) from error


class MovableCheckpoint(ModelCheckpoint):
    """Goes on from a run that was moved or copied: Lightning would forget there which epoch was the best so far."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up the state, with the files where they are now."""

        def here(path: Any) -> str:
            return str(Path(str(self.dirpath)) / Path(path).name) if path else ""

        moved = {name: here(state_dict[name]) for name in ("best_model_path", "kth_best_model_path", "last_model_path")}
        best = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **moved, "best_k_models": best, "dirpath": self.dirpath})


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint as data, never as code.

    Raises:
        RunError: the file is damaged or is not a checkpoint of this tool.
    """
    try:
        with path.open("rb") as file:
            archive = file.read(len(ZIP)) == ZIP
        # Mapped: what an optimiser left there is several times the weights, and stays on the disk.
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
        if "state_dict" in checkpoint:
            return checkpoint
    except pickle.UnpicklingError as error:
        # torch's own advice is to load it as code.
        raise RunError(f"{path} holds something else than tensors and plain data; train again.") from error
    except (OSError, RuntimeError, EOFError, KeyError, TypeError) as error:
        reason = str(error).split("\n", maxsplit=1)[0].split(". ", maxsplit=1)[0]
        raise RunError(f"{path} cannot be read as a checkpoint ({reason}); train again.") from error
    raise RunError(f"{path} is not a checkpoint of ltsi; train again.")


def load_model(model: nn.Module, path: Path) -> None:
    """Puts the weights and statistics of a checkpoint into a model.

    Raises:
        RunError: the checkpoint does not fit the model.
    """
    state = read_checkpoint(path)["state_dict"]
    weights = {name.removeprefix(MODEL_PREFIX): value for name, value in state.items() if name.startswith(MODEL_PREFIX)}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        first = (str(error).split("\n\t")[1] if "\n\t" in str(error) else str(error)).rstrip(". ")
        raise RunError(
            f"{path} does not fit the model in the run's config.yaml: {first}. One of them was changed, or another "
            "version of ltsi wrote them; train again."
        ) from error
