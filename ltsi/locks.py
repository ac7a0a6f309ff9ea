"""Holding a place against other processes.

A lock is the operating system's: a process that is killed lets go of it, and the file that it leaves hinders nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout


def take(file: Path, when_taken: Callable[[], None]) -> FileLock:
    """Takes a lock, or waits for it.

    Args:
        file: stands for what is held; its folder exists.
        when_taken: called before waiting for another process, which holds it; may raise in order not to wait.

    Raises:
        OSError: the file cannot be made.
    """
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        when_taken()
        lock.acquire()
    return lock


def let_go(lock: FileLock) -> None:
    """Lets go of a lock and removes its file."""
    # Before the lock is released: whoever waits for it notices that its file is gone, and makes a new one.
    Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()
