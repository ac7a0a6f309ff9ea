from collections.abc import Callable

import pytest

from ltsi.errors import ConfigError
from ltsi.preparation.cleaning.frequency import Frequency

Apply = Callable[..., dict[int, float | None]]
# a has 3 events, b 2, c 1; x has 4, y and z 1.
ROWS = [("a", "x", 1), ("a", "x", 2), ("a", "y", 3), ("b", "x", 1), ("b", "x", 2), ("c", "z", 1)]


@pytest.mark.parametrize(
    ("step", "left"),
    [
        (Frequency("user", least=2), [1, 2, 3, 4, 5]),
        (Frequency("user", least=2, most=2), [4, 5]),
        (Frequency("user", most=1), [6]),
        (Frequency("item", least=2), [1, 2, 4, 5]),
        (Frequency("item", most=3), [3, 6]),
    ],
)
def test_users_or_items_of_the_window_are_kept(apply: Apply, step: Frequency, left: list[int]) -> None:
    assert list(apply(step, ROWS)) == left


@pytest.mark.parametrize(
    ("of", "least", "most", "sentence"),
    [
        ("user", 0, None, r"clean\.user_frequency\.least=0 must be at least 1\."),
        ("item", 1, 0, r"clean\.item_frequency\.most=0 must be at least 1\."),
        ("item", 5, 4, r"clean\.item_frequency\.most=4 must not be below clean\.item_frequency\.least=5\."),
        ("user", "x", None, r"clean\.user_frequency\.least=x must be a whole number\."),
        ("basket", 1, None, r"of: user, item; not of 'basket'"),
    ],
)
def test_windows_that_hold_no_number_are_refused(of: str, least: int, most: int | None, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        Frequency(of, least, most)
