"""The last training target of each user: what a model may fit a few numbers to, without looking at a held-out part."""

from __future__ import annotations

import numpy as np

from ltsi.sequences.batches import history_length
from ltsi.sequences.rows import last_rows
from ltsi.sequences.split import Split, Targets


def last_targets(split: Split) -> Targets:
    """Returns the last training target of each user who has one that an input precedes, users in ascending order."""
    store, roles = split.store, split.roles
    offsets = np.asarray(store.offsets)
    (event,) = last_rows(offsets, split.train_end, lambda rows: roles.is_target(store.behavior[rows]), (1,))
    user = np.flatnonzero(event >= 0)
    event = event[user]
    found = Targets(user, event, event, np.asarray(store.time[event]))
    return found.take(np.flatnonzero(history_length(store, found, roles)))
