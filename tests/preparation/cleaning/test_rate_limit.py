from collections.abc import Callable
from typing import Any

import pytest

from ltsi.errors import ConfigError
from ltsi.preparation.cleaning.rate_limit import RateLimit

Apply = Callable[..., dict[int, float | None]]


def test_users_above_the_limit_fall_out_with_all_their_events(apply: Apply) -> None:
    rows = [
        *[("slow", "x", time) for time in (0, 30, 60, 90)],  # two in any minute: the third comes at its end
        *[("fast", "x", time) for time in (0, 30, 59, 9_999)],  # three within 59 seconds
        *[("rare", "x", time) for time in (5, 5)],
    ]
    assert list(apply(RateLimit(events=2, minutes=1), rows)) == [1, 2, 3, 4, 9, 10]
    assert list(apply(RateLimit(events=3, minutes=1), rows)) == list(range(1, 11))
    assert list(apply(RateLimit(events=1, minutes=0.01), rows)) == list(range(1, 9))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"events": 0}, r"clean\.rate_limit\.events=0 must be at least 1\."),
        ({"minutes": -1}, r"clean\.rate_limit\.minutes=-1 must be above 0\."),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        RateLimit(**settings)
