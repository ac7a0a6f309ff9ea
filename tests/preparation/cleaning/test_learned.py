import builtins
import math
from collections.abc import Callable
from typing import Any

import pytest

from ltsi.errors import ConfigError, DataError
from ltsi.preparation.cleaning.learned import FillLearned
from ltsi.preparation.cleaning.missing import FillMean

pytest.importorskip("sklearn", reason="the extra `impute` is not installed")
Apply = Callable[..., dict[int, float | None]]

USERS, ITEMS = 20, 20


def truth(row: int) -> float:
    """A value that is the sum of what a user and what an item add to it."""
    user, item = divmod(row - 1, ITEMS)
    return user / USERS + 2 * (item % 5)


def ratings() -> list[tuple[Any, ...]]:
    """Every user with every item; each seventh value is missing."""
    rows = range(1, USERS * ITEMS + 1)
    return [
        (f"u{(row - 1) // ITEMS}", f"i{(row - 1) % ITEMS}", row, None if row % 7 == 0 else truth(row)) for row in rows
    ]


def error(values: dict[int, float | None]) -> float:
    """Returns the root mean squared error of what was filled in."""
    filled = [(value, truth(row)) for row, value in values.items() if row % 7 == 0 and value is not None]
    assert len(filled) == USERS * ITEMS // 7
    return math.sqrt(sum((value - true) ** 2 for value, true in filled) / len(filled))


def test_values_are_learned_from_user_and_item(apply: Apply) -> None:
    learned = apply(FillLearned(), ratings())
    assert all(learned[row] == truth(row) for row in learned if row % 7)
    assert error(learned) < 0.6 * error(apply(FillMean(by=["item"]), ratings()))
    assert error(learned) < 0.1 * error(apply(FillMean(by=["user"]), ratings()))


def test_predictions_stay_among_the_values(apply: Apply) -> None:
    rows = [("u", "x", row, float(row % 2)) for row in range(1, 101)]
    learned = apply(FillLearned(), [*rows, ("u", "x", 10**6, None), ("new", "new", -(10**6), None)])
    assert min(value for value in learned.values() if value is not None) >= 0
    assert max(value for value in learned.values() if value is not None) <= 1
    assert None not in learned.values()


def test_a_constant_is_learned(apply: Apply) -> None:
    rows = [("u", "x", 5, 3.0)] * 100
    assert apply(FillLearned(), [*rows, ("v", "y", 5, None)])[101] == 3


def test_too_few_values_are_refused(apply: Apply) -> None:
    with pytest.raises(DataError, match=r"missing_learned: 99 events have a value and 100 are needed.*missing_mean"):
        apply(FillLearned(), [("u", "x", 1, 1.0)] * 99 + [("u", "x", 1, None)])


def test_a_log_without_values_is_refused(apply: Apply) -> None:
    with pytest.raises(ConfigError, match=r"clean=missing_learned needs values and the log has none"):
        apply(FillLearned(), [("u", "x", 1)])


def test_without_scikit_learn_it_says_what_to_install(apply: Apply, monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("sklearn"):
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"needs scikit-learn; install ltsi\[impute\]"):
        apply(FillLearned(), ratings())
