"""Resuming a training that was stopped: the command that does it, and what cannot be resumed."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltsi.errors import ConfigError

if TYPE_CHECKING:
    from omegaconf import DictConfig


def require_named_folder(cfg: DictConfig) -> None:
    """Refuse to resume in a folder that is named by the time of day, and so is always a new one.

    Args:
        cfg: The configuration of the job.

    Raises:
        ConfigError: `resume=true` without the folder.
    """
    from omegaconf import OmegaConf

    part = "sweep" if _is_sweep() else "run"
    place: Any = OmegaConf.to_container(_hydra_config()[part], resolve=False)
    if cfg.get("resume") and "${now:" in place["dir"]:
        raise ConfigError(f"resume=true needs the folder of the {part} to continue; add hydra.{part}.dir=DIR.")


def how_to_go_on(cfg: DictConfig, command: list[str], overrides: list[str]) -> str:
    """Say which command resumes a job that was stopped, to follow the word that says it was.

    Args:
        cfg: The configuration of the job.
        command: The command without what the user set.
        overrides: What the user set, as typed.

    Returns:
        The rest of a sentence; empty for a command that cannot resume.
    """
    from ltsi.runs.folder import RunFolder

    if "resume" not in cfg:
        return ""
    folder = _near(Path(_hydra_config().runtime.output_dir))
    kept = RunFolder(folder).checkpoint_path("last").is_file()
    if not kept and not _is_sweep():
        return f" before the first epoch in {folder} was complete; there is nothing to resume."
    if _is_sweep():
        place, key = _near(Path(_hydra_config().sweep.dir).absolute()), "hydra.sweep.dir"
    else:
        place, key = folder, "hydra.run.dir"
    own = [text for text in overrides if text.lstrip("+").partition("=")[0] not in {"resume", key}]
    return f"; resume with: {shlex.join([*command, *own, 'resume=true', f'{key}={place}'])}"


def _near(folder: Path) -> Path:
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder


def _hydra_config() -> Any:
    from hydra.core.hydra_config import HydraConfig

    return HydraConfig.get()


def _is_sweep() -> bool:
    from hydra.types import RunMode

    return bool(_hydra_config().mode == RunMode.MULTIRUN)
