"""What surrounded a run: enough to tell why two runs differ."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import ltsi
from ltsi.store import Store

_PACKAGES = ("torch", "pytorch-lightning", "hydra-core", "numpy", "polars")


def describe_environment(
    store: Store,
    *,
    split: str,
    split_report: Mapping[str, int],
    seen: str,
    seed: int,
    device: str,
    overrides: Sequence[str],
) -> dict[str, Any]:
    """Describes what a run starts from.

    Args:
        store: the store it learns from.
        split: name of the split.
        split_report: what the split counted: targets, cold users and items, ...
        seen: `hide` or `keep`.
        seed: the seed of every random choice.
        device: where it computes, such as `cpu`.
        overrides: what the command line changed in the configuration.

    Returns:
        Facts for `environment.json`. Training adds `finished`, `train_seconds` and `n_parameters`.
    """
    return {
        "git_commit": _git_commit(Path(ltsi.__file__).parent),
        "versions": {"python": platform.python_version(), "ltsi": ltsi.__version__} | _installed(),
        "platform": platform.platform(),
        "device": device,
        "seed": seed,
        "store": store.name,
        "store_path": str(store.path.absolute()),
        "fingerprint": store.fingerprint,
        "split": split,
        "split_report": dict(split_report),
        "seen": seen,
        "order_warning": _order_warning(store),
        "overrides": list(overrides),
        "started": now(),
    }


def now() -> str:
    """Returns the time as it is written into `environment.json`: ISO 8601, UTC, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _order_warning(store: Store) -> str | None:
    """Returns what the audit says where so many events share their time that results depend on the file's order."""
    findings = store.manifest.get("audit", [])
    tied = (f for f in findings if f["finding"] == "same_time_steps" and f["severity"] == "warn")
    return next((str(finding["detail"]) for finding in tied), None)


def _installed() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _git_commit(package: Path) -> str | None:
    """Returns the commit of the checkout that the running code is part of, "+" after it if files differ from it."""
    # A virtual environment may lie inside somebody's repository: only a checkout that tracks this very file counts.
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    commit = _git(package, "rev-parse", "HEAD")
    return f"{commit}+" if commit and _git(package, "status", "--porcelain", "--untracked-files=no", ".") else commit


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
