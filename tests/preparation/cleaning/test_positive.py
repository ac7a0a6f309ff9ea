from collections.abc import Callable

import pytest

from ltsi.errors import ConfigError
from ltsi.preparation.cleaning.positive import Positive

Apply = Callable[..., dict[int, float | None]]


def test_values_that_reach_the_threshold_are_kept(apply: Apply) -> None:
    rows = [("a", "x", 1, 3.5), ("a", "y", 2, 4.0), ("a", "z", 3, None), ("b", "x", 1, 5.0)]
    assert apply(Positive(4), rows) == {2: 4.0, 4: 5.0}


def test_a_log_without_values_is_refused(apply: Apply) -> None:
    with pytest.raises(ConfigError, match=r"clean=positive needs values and the log has none; set source\.columns"):
        apply(Positive(), [("a", "x", 1)])


@pytest.mark.parametrize("least", [float("nan"), float("inf"), True, "4"])
def test_a_threshold_is_a_number(least: float) -> None:
    with pytest.raises(ConfigError, match=rf"clean\.positive\.least={least} must be a number"):
        Positive(least)
