"""What all splits share: from the rows at which each user is cut to targets, their histories and a report.

A file of this room named after a split only says where the rows of a user are cut.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ltsi.errors import ConfigError, DataError
from ltsi.sequences.roles import Roles, take_roles
from ltsi.sequences.rows import ragged
from ltsi.sequences.split import PARTS, Split, Targets
from ltsi.store import Store, user_blocks

NEXT, ALL = "next", "all"


@dataclass(frozen=True)
class Cuts:
    """Where each user's events are cut. All rows are int64 `(users,)` and follow one another.

    Attributes:
        valid: row of the first event of the validation; training is everything before it.
        test: row of the first event of the test.
        end: one past the last row of the test; what comes after it is not used.
        places: where `valid` and `test` are cut, for people: "split.test=0.9 of their events".
        report: counts that only this split knows.
    """

    valid: NDArray[np.int64]
    test: NDArray[np.int64]
    end: NDArray[np.int64]
    places: Mapping[str, str]
    report: Mapping[str, int] = field(default_factory=dict)

    def part(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns the first and one-past-last row of each user in `valid` or `test`."""
        return (self.valid, self.test) if name == "valid" else (self.test, self.end)


@dataclass(frozen=True, kw_only=True)
class Cutter(ABC):
    """A split: cuts every user's events into training, validation and test, one after another.

    Users without a history before a cut are cold: they are counted and not ranked. Targets whose item never occurs in
    training are counted and ranked.

    Attributes:
        target: `next`: the first target event from the cut on, asked for when it happened, from all inputs before it;
            `all`: every target event of the part, asked for at the first event of the part, from the history before
            the cut.
        target_behaviors: behaviours that are predicted, in every part; None: those that the store declares, else all.
        input_behaviors: behaviours that histories are made of; None: those that the store declares, else all.
    """

    target: str = NEXT
    target_behaviors: Sequence[str] | str | None = None
    input_behaviors: Sequence[str] | str | None = None

    name: ClassVar[str]
    advice: ClassVar[str]
    """What to do where a part is empty."""

    @abstractmethod
    def cut(self, store: Store, roles: Roles) -> Cuts:
        """Says where each user is cut.

        Args:
            store: its events, all of which are shown or asked for.
            roles: which are which.
        """

    def __call__(self, store: Store) -> Split:
        """Cuts the store.

        Raises:
            DataError: the log has not what the split needs, or a part is empty.
            ConfigError: a setting means nothing.
        """
        if self.target not in (NEXT, ALL):
            raise ConfigError(f"split.target={self.target} must be one of: {NEXT}, {ALL}.")
        view, roles = take_roles(store, self.input_behaviors, self.target_behaviors)
        cuts = self.cut(view, roles)
        history = roles.position(np.asarray(view.offsets[:-1]))
        parts: dict[str, Targets] = {}
        report = dict(cuts.report)
        for name in PARTS:
            begin, end = cuts.part(name)
            asked = _targets(view, roles, begin, end, self.target)
            known = roles.position(asked.history_end) > history[asked.user]
            report[f"cold_users_{name}"] = len(np.unique(asked.user[~known]))
            parts[name] = Targets(asked.user[known], asked.event[known], asked.history_end[known], asked.now[known])
            if not len(parts[name]):
                raise DataError(self._empty(store, roles, cuts.places[name]))
        split = Split(view, cuts.valid, parts["valid"], parts["test"], report, roles)
        trained = np.zeros(view.n_items, dtype=bool)
        for block in split.training_blocks():
            trained[block.item] = True
        for name, part in parts.items():
            report[f"cold_items_{name}"] = int((~trained[view.item[part.event]]).sum())
            report[f"targets_{name}"], report[f"users_{name}"] = len(part), len(np.unique(part.user))
        return split

    def _empty(self, store: Store, roles: Roles, place: str) -> str:
        what = "inputs before and targets after" if roles.restricted else "events before and after"
        return f"split={self.name}: no user of store '{store.name}' has {what} {place}; {self.advice}."


def _targets(store: Store, roles: Roles, begin: NDArray[np.int64], end: NDArray[np.int64], which: str) -> Targets:
    """Returns the targets in rows `begin:end` of each user, those of users without a history among them."""
    users, events = [], []
    for first, last in user_blocks(store.offsets):
        user, event = ragged(begin[first:last], end[first:last])
        asked = roles.is_target(store.behavior[event])
        user, event = user[asked] + first, event[asked]
        if which == NEXT:
            user, index = np.unique(user, return_index=True)
            event = event[index]
        users.append(user)
        events.append(event)
    user, event = np.concatenate(users), np.concatenate(events)
    # The next target is asked for as targets are learned: from the inputs before it, those after the cut among them,
    # such as the views that lead to a purchase. All targets of a horizon are asked for at once, when the user comes
    # back: at the first event of the horizon. With a time for each, one history would get many answers, and the times
    # would tell how the horizon went on.
    history_end = event if which == NEXT else begin[user]
    return Targets(user, event, history_end, np.asarray(store.time[history_end]))
