from collections.abc import Callable
from typing import Any

import pytest

from ltsi.errors import ConfigError
from ltsi.preparation.cleaning.sessions import ShortSessions

Apply = Callable[..., dict[int, float | None]]
# Sessions by a gap of one minute: a has {1, 2}, {3, 4, 5} in rows 1-5 (a wait of 61 s parts them), b has {6}.
ROWS = [("a", "x", 0), ("a", "y", 60), ("a", "x", 121), ("a", "y", 121), ("a", "z", 181), ("b", "x", 60)]


@pytest.mark.parametrize(("least", "left"), [(2, [1, 2, 3, 4, 5]), (3, [3, 4, 5]), (4, [])])
def test_short_sessions_fall_out(apply: Apply, least: int, left: list[int]) -> None:
    assert list(apply(ShortSessions(gap_minutes=1, least=least), ROWS)) == left


def test_sessions_follow_time_and_not_the_file(apply: Apply) -> None:
    assert list(apply(ShortSessions(gap_minutes=1, least=3), ROWS[::-1])) == [2, 3, 4]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"gap_minutes": 0}, r"clean\.short_sessions\.gap_minutes=0 must be above 0\."),
        ({"gap_minutes": -5}, r"clean\.short_sessions\.gap_minutes=-5 must be above 0\."),
        ({"least": 1}, r"clean\.short_sessions\.least=1 must be at least 2\."),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        ShortSessions(**settings)
