"""One process at a time trains or evaluates a run: two would mix their files, or judge what is about to change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pytorch_lightning.utilities import rank_zero_only

from ltsi.errors import BusyError, RunError
from ltsi.locks import let_go, take
from ltsi.runs.folder import RunFolder

LOCK = ".lock"


@contextmanager
def held(folder: RunFolder, advice: str = "", *, to_write: bool = True) -> Iterator[None]:
    """Holds a run against other processes.

    The first of the processes of one command holds it for all of them.

    Args:
        folder: the run; its folder exists.
        advice: what else a user can do than wait, as the end of a sentence.
        to_write: whether a folder that cannot be written is refused; if not, it is not held.

    Raises:
        BusyError: another process holds it.
        RunError: the folder cannot be written.
    """
    if getattr(rank_zero_only, "rank", 0) != 0:
        yield
        return
    try:
        lock = take(folder.path / LOCK, lambda: _refuse(folder, advice))
    except OSError as error:
        if to_write:
            reason = error.strerror or error
            raise RunError(f"{folder.path} cannot be written ({reason}); give another hydra.run.dir.") from error
        lock = None
    try:
        yield
    finally:
        if lock is not None:
            let_go(lock)


def in_use(folder: RunFolder) -> bool:
    """Tells the first process of a command whether another command trains or evaluates a run."""
    try:
        with held(folder, to_write=False):
            return False
    except BusyError:
        return True


def _refuse(folder: RunFolder, advice: str) -> None:
    raise BusyError(f"Another process trains or evaluates the run in {folder.path}; wait until it has ended{advice}.")
