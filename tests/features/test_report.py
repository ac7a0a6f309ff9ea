from collections.abc import Callable
from typing import Any

from ltsi.features.declarations import read_declarations
from ltsi.features.report import report
from ltsi.features.space import FeatureSpace
from ltsi.sequences.split import Split

# Training: items 0 1 2 of user 0, 0 0 of user 1. Valid: items 3 and 1. Test: items 4 and 0.
EVENTS = [[(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)], [(0, 0), (0, 1), (1, 2), (0, 3)]]
ITEMS = {
    "category": ["a", "b", None, "c", "a"],
    "price": [1.0, 3.0, None, 2.0, 9.0],
    "tags": [["x"], None, ["y"], ["y", "z"], ["z"]],
}
CONFIG: dict[str, Any] = {
    "item": {"category": "categorical", "price": {"kind": "numeric", "scale": "min_max"}, "tags": "tags"},
    "user": {"segment": "categorical"},
    "event": {"hour": "hour_of_day"},
    "cross": [["user.segment", "item.category"]],
}


def test_shares_by_hand(make_split: Callable[..., Split]) -> None:
    split = make_split(*EVENTS, items=ITEMS, of_users={"segment": ["s", None]})
    space = FeatureSpace.fit(split, read_declarations(CONFIG, split.store))
    table = report(space, space.encode(split.store), split)
    assert table.columns == (
        "feature", "kind", "size", "center", "spread", "missing", "unseen_valid", "unseen_test",
    )  # fmt: skip
    assert [list(row) for row in table.rows] == [
        ["user.segment", "categorical", 3, None, None, 2 / 5, 0, 0],
        ["item.category", "categorical", 4, None, None, 1 / 5, 1 / 2, 0],
        ["item.price", "numeric", 1, 1, 2, 1 / 5, 0, 1 / 2],
        ["item.tags", "tags", 4, None, None, 1 / 5, 0, 1 / 2],
        ["event.hour", "hour_of_day", 26, None, None, 0, 0, 0],
        # Training: (s, a), (s, b), missing three times. Valid: (s, c) and (missing, b). Test: (s, a) and (missing, a).
        ["user.segment × item.category", "cross", 4, None, None, 3 / 5, 1 / 2, 0],
    ]


def test_parts_without_targets_have_no_share(make_split: Callable[..., Split]) -> None:
    split = make_split(*EVENTS, items=ITEMS, of_users={"segment": ["s", "t"]})
    targets = split.valid
    nobody = type(targets)(*(array[:0] for array in (targets.user, targets.event, targets.history_end, targets.now)))
    split = Split(split.store, split.train_end, nobody, split.test)
    space = FeatureSpace.fit(split, read_declarations(CONFIG, split.store))
    rows = report(space, space.encode(split.store), split).rows
    assert [row[6] for row in rows if row[1] != "hour_of_day"] == [None] * 5
    assert all(row[7] is not None for row in rows)
