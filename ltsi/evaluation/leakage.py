"""Audit of a split: what is cold, what is trivial, and what leaks.

Every check reads the arrays of `Split` and `Targets` alone, so it holds whatever cut them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ltsi.findings import Finding
from ltsi.sequences.batches import history_positions
from ltsi.sequences.split import PARTS, Split, Targets
from ltsi.store import user_blocks

MANY_TIES = 0.01  # share of the targets that makes the order inside ties matter
FOREIGN = "with an event or a history of another user"
IN_HISTORY = "inside their own history"
IN_TRAINING = "at or before the end of their user's training events"
IN_PAST = "asked for at a time before the last event of their history"


def audit_split(split: Split, *, by_time: bool, block_events: int = 1_000_000) -> list[Finding]:
    """Audits a split in bounded memory.

    Args:
        split: the cut store.
        by_time: whether it cuts everybody at one date, so that no training event may come after it.
        block_events: events in a block; it bounds memory and changes no finding.

    Returns:
        Counts and shares of each part, then the leaks, which are errors; a finding says so where there are none.
    """
    parts = {name: split.part(name) for name in PARTS if len(split.part(name))}
    first_target = min((int(split.store.time[part.event].min()) for part in parts.values()), default=0)
    first_test = int(split.store.time[split.test.event].min()) if len(split.test) else first_target
    training = _pass_training(split, first_target if by_time else first_test, block_events)
    found = [finding for name, part in parts.items() for finding in _part(split, name, part, training, block_events)]
    leaks = _leaks(split, parts)
    if split.store.has_clock and parts:
        if by_time and training.late:
            sentence = "Training events at or after the first target in time; cut the training part earlier."
            leaks.append(Finding("error", "event_after_cut", training.late, sentence))
        if not by_time:
            found.append(_overlap(training))
    if not leaks:
        checks = "history, training part and time of every target"
        leaks.append(Finding("info", "leakage", "none", f"No leak was found in {checks}."))
    return [*found, *leaks]


@dataclass(frozen=True)
class _Training:
    """What the training events say.

    Attributes:
        items: which items occur, bool `(items,)`.
        events: their number.
        late: how many lie at or after a cut.
    """

    items: NDArray[np.bool_]
    events: int
    late: int


def _pass_training(split: Split, cut: int, block_events: int) -> _Training:
    items, events, late = np.zeros(split.store.n_items, dtype=bool), 0, 0
    for block in split.training_blocks(block_events):
        items[block.item] = True
        events += len(block.item)
        late += int((block.time >= cut).sum())
    return _Training(items, events, late)


def _overlap(training: _Training) -> Finding:
    share = training.late / training.events if training.events else 0.0
    sentence = "Share of the training events at or after the first test target: models see a time they are tested on"
    advice = " (split=global_time has one date for everybody)." if training.late else "."
    return Finding("info", "period_overlap", round(share, 6), sentence + advice)


def _part(split: Split, name: str, part: Targets, training: _Training, block_events: int) -> list[Finding]:
    """Says what the targets of a part are like."""
    store, users = split.store, np.unique(part.user)
    cold_users = int((split.train_end[users] <= store.offsets[users]).sum())
    cold_items = int((~training.items[store.item[part.event]]).sum())
    seen = float(_seen(split, part, block_events).mean())
    unranked = split.report.get(f"cold_users_{name}", 0)
    found = [
        Finding("info", f"targets_{name}", len(part), f"Events to predict, of {len(users):,} users."),
        Finding(
            "info",
            f"cold_users_{name}",
            cold_users,
            f"Users with targets and no training event; {unranked:,} more have no history and are not ranked.",
        ),
        Finding(
            "info",
            f"cold_items_{name}",
            cold_items,
            f"Targets whose item has no training event ({cold_items / len(part):.1%}): learned models rarely hit them.",
        ),
        Finding(
            "info",
            f"target_repeats_{name}",
            round(seen, 6),
            "Share of the targets whose item is in their history: seen=hide cannot hit them.",
        ),
    ]
    if store.has_clock:
        found.append(_ties(split, name, part))
    return found


def _ties(split: Split, name: str, part: Targets) -> Finding:
    store, (start, end) = split.store, history_positions(split.store, part, split.roles)
    known = end > start
    tied = store.time[part.event[known]] == store.time[split.roles.row(end[known] - 1)]
    share = float(tied.sum() / len(part))
    sentence = (
        "Share of the targets at the time of the last event of their history: which of the two is the target follows "
        f"their order, which is {store.tie_order}."
    )
    return Finding("warn" if share >= MANY_TIES else "info", f"target_ties_{name}", round(share, 6), sentence)


def _seen(split: Split, part: Targets, block_events: int) -> NDArray[np.bool_]:
    """Returns whether the item of each target is among the inputs of its history, bool `(targets,)`."""
    store, seen = split.store, np.zeros(len(part), dtype=bool)
    order = np.argsort(part.user, kind="stable")
    sorted_user = part.user[order]
    for first, last in user_blocks(store.offsets, block_events):
        here = order[slice(*np.searchsorted(sorted_user, [first, last]))]
        if not len(here):
            continue
        start, end = int(store.offsets[first]), int(store.offsets[last])
        user = np.repeat(np.arange(last - first), np.diff(store.offsets[first : last + 1]))
        input_row = split.roles.row(np.arange(*split.roles.position(np.array([start, end]))))
        if not len(input_row):
            continue
        taken = user[input_row - start] * store.n_items + store.item[input_row]
        pairs, nth = np.unique(taken, return_index=True)
        wanted = (part.user[here] - first) * store.n_items + store.item[part.event[here]]
        at = np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)
        seen[here] = (pairs[at] == wanted) & (input_row[nth[at]] < part.history_end[here])
    return seen


def _leaks(split: Split, parts: Mapping[str, Targets]) -> list[Finding]:
    """Finds targets that a model could know."""
    advice = {
        "foreign_rows": f"Targets {FOREIGN}",
        "target_in_history": f"Targets {IN_HISTORY}; end the history before the target",
        "training_order": f"Targets {IN_TRAINING}; end the training part before the target",
        "history_after_now": f"Targets {IN_PAST}; end the history at the time of asking",
    }
    wrong = {name: _wrong(split, part) for name, part in parts.items()}
    found = []
    for leak, sentence in advice.items():
        counts = {name: int(wrong[name][leak].sum()) for name in parts}
        if total := sum(counts.values()):
            places = ", ".join(f"{count:,} in {name}" for name, count in counts.items() if count)
            found.append(Finding("error", leak, total, f"{sentence} ({places})."))
    if late := _late_validation(split):
        sentence = "Users whose validation lies at or after their test: selection reads what is tested."
        found.append(Finding("error", "valid_order", late, sentence))
    return found


def _wrong(split: Split, part: Targets) -> dict[str, NDArray[np.bool_]]:
    """Returns which targets leak, by the name of the leak, each bool `(targets,)`."""
    store = split.store
    start, end = np.asarray(store.offsets[part.user]), np.asarray(store.offsets[part.user + 1])
    foreign = (part.event < start) | (part.event >= end) | (part.history_end < start) | (part.history_end > end)
    now = getattr(part, "now", None)
    if now is None:
        now = store.time[part.event]
    early = np.zeros(len(part), dtype=bool)
    known = part.history_end > start
    early[known] = store.time[part.history_end[known] - 1] > now[known]
    return {
        "foreign_rows": foreign,
        "target_in_history": ~foreign & (part.event < part.history_end),
        "training_order": ~foreign & (part.event < split.train_end[part.user]),
        "history_after_now": ~foreign & early,
    }


def _late_validation(split: Split) -> int:
    """Counts users whose last validation target does not come before their first test target."""
    last_valid = np.full(split.store.n_users, -1, dtype=np.int64)
    first_test = np.full(split.store.n_users, split.store.n_events, dtype=np.int64)
    np.maximum.at(last_valid, split.valid.user, split.valid.event)
    np.minimum.at(first_test, split.test.user, split.test.event)
    return int((last_valid >= first_test).sum())
