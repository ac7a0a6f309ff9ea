"""From a split to the decay of its entities: what `decay-fit` runs and what models ask for their rates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ltsi.decay.estimate import Watch, fit_statistics
from ltsi.decay.result import AUTO, DecayFit, FitOptions
from ltsi.decay.statistics import SECONDS_PER_DAY, age_edges, collect
from ltsi.sequences.split import Split, TrainingBlock

LATER_PART = 0.25
"""Share of the log's span, its last, that forms must predict from what came before."""


def fit_return_decay(
    split: Split,
    entity_of_item: NDArray[np.integer] | None,
    labels: Sequence[str],
    options: FitOptions | None = None,
    watch: Watch | None = None,
    parents: NDArray[np.integer] | None = None,
) -> DecayFit:
    """Fits the return hazard of every entity to the training part of a split.

    Args:
        split: the events; only the training part is read.
        entity_of_item: `(items,)`, code of the entity each item belongs to, -1: to none; None: every user is an
            entity, and any event a return.
        labels: label of each code.
        options: how to fit; by default `FitOptions()`.
        watch: is told about progress.
        parents: code of what each entity belongs to, for partial pooling.

    Returns:
        The fit. With `replicates=0` it has no intervals and costs one pass and one fit.

    Raises:
        DataError: the log has no clock.
    """
    options = options or FitOptions()
    split.store.require_clock("decay-fit")
    end, first = split.training_end_time(), split.store.manifest["time"]["first"]
    longest = (end - (end if first is None else int(first))) / SECONDS_PER_DAY
    # A log within one session has nobody at risk of a return: any edges do, and every entity is told to be too thin.
    edges = age_edges(options.session_gap_days, max(longest, 2 * options.session_gap_days))
    ends = observation_end(split, end)
    statistics = collect(
        split.training_blocks() if watch is None else _watched(split, watch),
        entity_of_item,
        len(labels),
        ends,
        edges,
        options.exposure,
    )
    earlier = None
    if options.form == AUTO:
        cut = int(end - LATER_PART * longest * SECONDS_PER_DAY)
        before = np.minimum(ends, cut)
        earlier = collect(split.training_blocks(), entity_of_item, len(labels), before, edges, options.exposure)
    return fit_statistics(statistics, labels, options, watch, earlier, parents, of_users=entity_of_item is None)


def observation_end(split: Split, end: int) -> NDArray[np.int64]:
    """Returns until when each user was watched in training, `(users,)` seconds: where their open intervals are cut off.

    A user whose held-out events all lie after the end of training was watched until that end. If some were held out
    from before it (leave-one-out), the user's later days are known to hold events that training does not see; counting
    them as days without a return would push the hazard down, so such a user is watched until the first held-out event,
    whose time counts and whose item does not. Until the last training event would be worse: every window would then
    end just when somebody came back. What comes back in the held-out event itself is missing all the same, and early
    returns miss most: on histories of five events λ stays up to a tenth too low.

    Args:
        split: the events.
        end: the last time seen in training, seconds.
    """
    train_end = np.asarray(split.train_end)
    ends = np.full(split.store.n_users, end, dtype=np.int64)
    held_out = np.flatnonzero(train_end < np.asarray(split.store.offsets[1:]))
    cut_short = held_out[split.store.time[train_end[held_out]] <= end]
    ends[cut_short] = split.store.time[train_end[cut_short]]
    return ends


def _watched(split: Split, watch: Watch) -> Iterator[TrainingBlock]:
    total, seen = int(np.sum(split.train_end - split.store.offsets[:-1])), 0
    for block in split.training_blocks():
        yield block
        seen += len(block.item)
        watch("visits and returns", seen / total)
