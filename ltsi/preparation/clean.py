"""Cleaning: steps one after the other, each counted; event table in, event table out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

import narwhals as nw

from ltsi.errors import DataError
from ltsi.events import Events, Step, count
from ltsi.store import NO_CLOCK

Stage = Callable[[Events], Events]
"""Computes a table once and keeps it for what follows, as `Engine.stage` does."""

_BEFORE = "value before"


class CleaningStep(Protocol):
    """One way to clean a log; an entry of the config group `clean` instantiates one."""

    def __call__(self, events: Events) -> Events:
        """Returns the events that are kept, with all their columns; `value` may change."""
        ...


@runtime_checkable
class IteratedStep(Protocol):
    """A cleaning step that goes over the log more than once, and would repeat its work if nothing were staged."""

    def iterate(self, events: Events, stage: Stage) -> Events:
        """Returns what calling the step returns."""
        ...


def clean(
    events: Events, steps: Mapping[str, CleaningStep], stage: Stage = lambda frame: frame, *, clock: bool = True
) -> tuple[Events, list[Step]]:
    """Applies cleaning steps in order.

    Args:
        events: an event table.
        steps: steps by name.
        stage: computes a table once; without it a lazy engine repeats all earlier steps for each count.
        clock: whether times are times.

    Returns:
        The events that are left, and what each step did.

    Raises:
        DataError: a step leaves nothing, or needs times (it says so by `needs_clock`) and there are none.
        ConfigError: a step needs values and the log has none.
    """
    for name, step in steps.items():
        if not clock and getattr(step, "needs_clock", False):
            raise DataError(
                f"clean={name} needs times, and {NO_CLOCK}; leave it out, or set source.columns.time=COLUMN."
            )
    report: list[Step] = []
    before = count(events)
    with_value = "value" in events.collect_schema()
    for name, step in steps.items():
        marked = events.with_columns(nw.col("value").alias(_BEFORE)) if with_value else events
        cleaned = stage(step.iterate(marked, stage) if isinstance(step, IteratedStep) else step(marked))
        left, changed = _count(cleaned, with_value=with_value)
        if not left:
            raise DataError(f"The cleaning step '{name}' ({step}) leaves none of {before:,} events; loosen it.")
        report.append(Step(name, before - left, left, changed))
        events, before = cleaned.drop(_BEFORE) if with_value else cleaned, left
    return events, report


def _count(events: Events, *, with_value: bool) -> tuple[int, int]:
    """Returns the number of events, and of those with another value than before, in one pass."""
    if not with_value:
        return count(events), 0
    value, old = nw.col("value"), nw.col(_BEFORE)
    one_missing = value.is_null() != old.is_null()
    other = nw.when(value.is_null() | old.is_null()).then(one_missing).otherwise(value != old)
    counts = events.select(left=nw.len(), changed=nw.when(other).then(1).otherwise(0).sum()).collect()
    return int(counts.item(0, "left")), int(counts.item(0, "changed"))
