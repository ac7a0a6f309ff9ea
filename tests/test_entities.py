"""What an entity is, and what items without a label are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from ltsi.entities import Entities
from ltsi.errors import DataError
from ltsi.store import Store

MakeStore = Callable[..., Store]


def store_of(make_store: MakeStore, category: Sequence[str | None]) -> Store:
    return make_store([(item, item) for item in range(len(category))], category=category)


def test_items_without_a_label_can_be_left_out(make_store: MakeStore) -> None:
    found = Entities.of(store_of(make_store, ["b", None, "a", "(none)", "!"]))
    # Sorted by label, "!" lies before "(none)".
    assert (found.labels, found.unlabelled) == (["!", "(none)", "a", "b"], 1)
    assert found.count_unlabelled() == "2 of 5 items"
    left = found.labelled()
    assert left.labels == ["!", "a", "b"]
    assert left.code_I.tolist() == [2, -1, 1, -1, 0]
    assert left.count_unlabelled() == "2 of 5 items"


def test_where_every_item_has_a_label_nothing_is_left_out(make_store: MakeStore) -> None:
    found = Entities.of(store_of(make_store, ["b", "a"]))
    assert found.unlabelled is None
    assert found.labelled() is found
    assert found.count_unlabelled() == "0 of 2 items"


def test_a_column_without_any_label_tells_nothing_apart(make_store: MakeStore) -> None:
    store = store_of(make_store, [None, None])
    assert Entities.of(store).name == "all"
    with pytest.raises(DataError, match="No item of store 'log' has a value in column 'category'"):
        Entities.of(store, "category")


def test_an_item_may_be_called_like_what_has_no_label(make_store: MakeStore) -> None:
    assert Entities.of(store_of(make_store, [None, "a"]), "item").unlabelled is None
