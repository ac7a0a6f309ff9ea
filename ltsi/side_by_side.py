"""Threads that each compute alone: two that meet once a batch, and not at every operation.

Sharing every operation loses all its time where another process takes a core from one of the threads, and wakes a
second thread for operations that are done before it is awake.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

Part = TypeVar("Part")
Answer = TypeVar("Answer")


def side_by_side(task: Callable[[Part], Answer], parts: Sequence[Part]) -> list[Answer]:
    """Runs a task on every part, as many at a time as torch has threads here; each runs on one thread.

    Gradients are on or off, and mixed precision is on or off, as they are for the caller.

    Args:
        task: what to run; releases Python's lock while torch computes.
        parts: its arguments.

    Returns:
        The answers, in the order of the parts.
    """
    workers = min(torch.get_num_threads(), len(parts))
    if workers <= 1:
        return [task(part) for part in parts]
    learning, mixed, dtype = torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    def as_here(part: Part) -> Answer:
        # torch keeps both for each thread.
        with torch.set_grad_enabled(learning), torch.autocast("cpu", dtype, enabled=mixed):
            return task(part)

    return list(_pool(torch.get_num_threads()).map(as_here, parts))


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    """Returns threads; torch's number of threads is a setting of the calling thread."""
    return ThreadPoolExecutor(workers, "ltsi", initializer=_alone)


def _alone() -> None:
    torch.set_num_threads(1)
    # A thread's number is settled when it is first asked for: until then the caller's next setting would replace it.
    torch.get_num_threads()
