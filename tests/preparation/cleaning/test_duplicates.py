from collections.abc import Callable

from ltsi.preparation.cleaning.duplicates import DropConsecutive, DropDuplicates

Apply = Callable[..., dict[int, float | None]]


def test_the_first_of_equal_events_is_kept(apply: Apply) -> None:
    rows = [("a", "x", 1), ("a", "x", 1), ("a", "x", 2), ("a", "y", 1), ("b", "x", 1), ("a", "x", 1)]
    behavior = ["view", "view", "view", "view", "view", "buy"]
    assert list(apply(DropDuplicates(), rows, behavior)) == [1, 3, 4, 5, 6]


def test_the_first_of_a_run_is_kept_in_order_of_time_then_row(apply: Apply) -> None:
    # In order, a has x(3) x(1) y(4) x(5) x(2) and b has x(6): the file's order is another.
    rows = [("a", "x", 2), ("a", "x", 9), ("a", "x", 1), ("a", "y", 3), ("a", "x", 3), ("b", "x", 0)]
    assert list(apply(DropConsecutive(), rows)) == [3, 4, 5, 6]


def test_another_behavior_is_no_repeat(apply: Apply) -> None:
    rows = [("a", "x", 1), ("a", "x", 2), ("a", "x", 3)]
    assert list(apply(DropConsecutive(), rows, ["view", "buy", "buy"])) == [1, 2]


def test_fractions_of_a_second_say_which_is_the_first(apply: Apply) -> None:
    rows = [("a", "x", 1), ("a", "y", 1), ("a", "x", 1), ("a", "x", 1)]
    assert list(apply(DropDuplicates(), rows, fraction=[300, 200, 100, 100])) == [2, 3]
    assert list(apply(DropConsecutive(), rows, fraction=[300, 200, 100, 100])) == [1, 2, 3]
