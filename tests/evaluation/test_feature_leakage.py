"""Features that were fitted on more than the training part are named."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from ltsi.evaluation.feature_leakage import audit_features
from ltsi.features.declarations import Declarations, read_declarations
from ltsi.features.space import FeatureSpace
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.sequences.split import Split
from ltsi.store import EncodedEvents, Store, store_path
from ltsi.store_writer import write_store

CONFIG = {
    "item": {"category": "categorical", "price": "numeric", "brand": "categorical"},
    "user": {"segment": "categorical"},
    "event": None,
    "cross": [["user.segment", "item.category"]],
}


@pytest.fixture
def split(make_store: Callable[..., Store]) -> Split:
    """Two users; item 3, which only the test knows, has a category and a price of its own, and a known brand."""
    users: Sequence[Sequence[tuple[int, int]]] = [[(0, 1), (1, 2), (2, 3), (3, 4)], [(1, 1), (0, 2), (2, 3), (3, 4)]]
    store = make_store(*users)
    items = {"category": ["a", "b", "a", "c"], "price": [1.0, 2.0, 3.0, 100.0], "brand": ["x", "y", "x", "y"]}
    table = pl.DataFrame({"item": store.items["item"], **items})
    written = write_store(
        store_path("featured"),
        EncodedEvents(store.offsets, store.item, store.time, store.behavior),
        items=table,
        users=pl.DataFrame({"user": ["0", "1"], "segment": ["s", "t"]}),
        manifest={"time": {"clock": True}},
    )
    return LeaveOneOut()(written)


@pytest.fixture
def declared(split: Split) -> Declarations:
    return read_declarations(CONFIG, split.store)


def test_features_of_the_training_part_pass(split: Split, declared: Declarations) -> None:
    (found,) = audit_features(FeatureSpace.fit(split, declared), split, declared)
    assert (found.severity, found.finding) == ("info", "features_fitted_on")


def test_features_fitted_on_the_test_are_named(split: Split, declared: Declarations) -> None:
    everything = replace(split, train_end=np.asarray(split.store.offsets[1:]))
    (found,) = audit_features(FeatureSpace.fit(everything, declared), split, declared)
    assert (found.severity, found.finding) == ("error", "features_fitted_on_test")
    assert "item.category, item.price" in found.detail
    assert "item.brand" not in found.detail  # the test says nothing new about brands
    assert "user.segment" in found.detail.partition("cross")[2]
    assert found.value == 3


def test_features_of_users_that_training_does_not_know_are_named(split: Split) -> None:
    declared = read_declarations({**CONFIG, "cross": None}, split.store)
    without_t = replace(split, train_end=np.array([split.train_end[0], split.store.offsets[1]]))
    (found,) = audit_features(FeatureSpace.fit(split, declared), without_t, declared)
    assert found.finding == "features_fitted_on_test"
    assert "user.segment" in found.detail


@pytest.mark.parametrize("lacking", ["given", "declared"])
def test_a_feature_that_only_one_side_has_is_named(split: Split, declared: Declarations, lacking: str) -> None:
    brandless = {**CONFIG, "item": {"category": "categorical", "price": "numeric"}}
    fewer = read_declarations(brandless, split.store)
    given, asked = (fewer, declared) if lacking == "given" else (declared, fewer)
    (found,) = audit_features(FeatureSpace.fit(split, given), split, asked)
    assert (found.severity, found.value) == ("error", 1)
    assert "item.brand" in found.detail
