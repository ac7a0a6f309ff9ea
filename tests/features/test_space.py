import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ltsi.errors import DataError, RunError
from ltsi.features.declarations import read_declarations
from ltsi.features.encoded import EncodedFeatures, FeatureBatch
from ltsi.features.space import FeatureSpace
from ltsi.sequences.split import Split

DAY = 86_400
# Items 3 and 4 occur in valid and test only; users are trained on all but their last two events.
EVENTS = [
    [(0, 0), (1, 3_600), (1, DAY), (3, 2 * DAY), (0, 3 * DAY)],
    [(2, 0), (0, 7_200), (1, 2 * DAY), (4, 3 * DAY)],
    [(1, 5 * DAY), (3, 6 * DAY)],
]
ITEMS: dict[str, list[Any]] = {
    "category": ["a", "b", None, "a", "late"],
    "price": [1.0, 3.0, None, 2.0, 50.0],
    "tags": [["x"], ["x", "y"], [], ["late"], None],
    "content": [[1.0, 0.0], [0.0, 1.0], None, [2.0, 2.0], [3.0, 3.0]],
}
# User 2 has no training event.
USERS: dict[str, list[Any]] = {"segment": ["s", "t", "late"], "age": [20, 30, 90]}
CONFIG: dict[str, Any] = {
    "item": {
        "category": "categorical",
        "price": "numeric",
        "level": {"kind": "buckets", "column": "price", "buckets": 2},
        "tags": "tags",
        "content": "vector",
    },
    "user": {"segment": "categorical", "age": {"kind": "numeric", "scale": "quantile"}},
    "event": {"hour": "hour_of_day"},
    "cross": [["user.segment", "item.category"], {"of": ["user.segment", "event.hour"], "buckets": 50}],
}
MakeSplit = Callable[..., Split]


def fit(split: Split, config: dict[str, Any] = CONFIG) -> FeatureSpace:
    return FeatureSpace.fit(split, read_declarations(config, split.store))


def every_event(features: EncodedFeatures) -> FeatureBatch:
    """All pairs of users and items, nobody among them, each at another hour."""
    user_B, item_B = torch.cartesian_prod(torch.arange(4), torch.arange(6)).T
    return features.events(user_B, item_B, torch.arange(len(user_B)) * 3_600)


def tensors(node: Any) -> list[Tensor]:
    """All tensors of nested dataclasses and tuples, in order."""
    if isinstance(node, Tensor):
        return [node]
    parts = [getattr(node, field.name) for field in fields(node)] if is_dataclass(node) else node
    if not isinstance(parts, (list, tuple)):
        return []
    return [tensor for part in parts for tensor in tensors(part)]


def assert_same(ours: Any, theirs: Any) -> None:
    for one, other in zip(tensors(ours), tensors(theirs), strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


def test_a_batch_holds_what_the_layout_says(make_split: MakeSplit) -> None:
    split = make_split(*EVENTS, items=ITEMS, of_users=USERS)
    space = fit(split)
    layout = space.layout
    # Events in training: items 0 1 1 of user 0, 2 0 of user 1. So b and a twice each; prices 1 1 3 3 (mean 2, sd 1).
    assert layout.categorical == {
        "user.segment": 2 + 2, "item.category": 2 + 2, "item.level": 2 + 2, "event.hour": 2 + 24,
    }  # fmt: skip
    assert layout.numeric == (
        "user.age",
        "user.age.missing",
        "item.price",
        "item.price.missing",
        "item.content.missing",
    )
    assert (layout.tags, layout.vector) == ({"item.tags": 2 + 2}, {"item.content": 2})
    assert layout.cross == {"user.segment × item.category": 2 + 3, "user.segment × event.hour": 2 + 50}
    batch = space.encode(split.store).events(
        torch.tensor([0, 1, 2]), torch.tensor([1, 2, 4]), torch.tensor([3_600, 7_199, 2 * DAY - 1])
    )
    assert len(batch) == 3
    assert batch.categorical_BC.tolist() == [[2, 3, 3, 2 + 1], [3, 0, 0, 2 + 1], [1, 1, 3, 2 + 23]]
    # Ages 20 (3 events) and 30 (2 events): 2·(3/2)/5 − 1 and 2·(3 + 2/2)/5 − 1; 90 is put at 30, price 50 at 3.
    expected = torch.tensor([[-0.4, 0, 1, 0, 0], [0.6, 0, 0, 1, 1], [0.6, 0, 1, 0, 0]])
    torch.testing.assert_close(batch.numeric_BN, expected)
    assert batch.vector_BV.tolist() == [[0, 1], [0, 0], [3, 3]]
    (bags,) = batch.tags
    assert (bags.code.tolist(), bags.offset_B.tolist()) == ([2, 3, 0, 0], [0, 2, 3])
    # Combinations by number: (s, a), (s, b), (t, a); the category of item 2 is missing.
    assert batch.cross_BX[:, 0].tolist() == [3, 0, 1]
    assert batch.cross_BX[2, 1] == 1


def test_types_are_those_of_embeddings(make_split: MakeSplit) -> None:
    split = make_split(*EVENTS, items=ITEMS, of_users=USERS)
    space = fit(split)
    batch = every_event(space.encode(split.store))
    for name, columns in (("categorical", batch.categorical_BC), ("cross", batch.cross_BX)):
        assert columns.dtype == torch.int64
        for codes, size in zip(columns.unbind(1), getattr(space.layout, name).values(), strict=True):
            nn.Embedding(size, 3)(codes)
    for bags, size in zip(batch.tags, space.layout.tags.values(), strict=True):
        assert nn.EmbeddingBag(size, 3, mode="mean")(bags.code, bags.offset_B).shape == (len(batch), 3)
    assert batch.numeric_BN.shape == (len(batch), len(space.layout.numeric))
    assert batch.vector_BV.shape == (len(batch), sum(space.layout.vector.values()))
    assert batch.numeric_BN.dtype == batch.vector_BV.dtype == torch.float32


def test_items_and_users_alone(make_split: MakeSplit) -> None:
    split = make_split(*EVENTS, items=ITEMS, of_users=USERS)
    space = fit(split)
    features = space.encode(split.store)
    both = every_event(features)
    user_B, item_B = torch.cartesian_prod(torch.arange(4), torch.arange(6)).T
    users, items = features.users(user_B), features.items(item_B)
    assert (space.user_layout + space.item_layout).numeric == space.layout.numeric
    assert torch.equal(torch.cat([users.numeric_BN, items.numeric_BN], dim=1), both.numeric_BN)
    assert items.categorical_BC.shape[1] == len(space.item_layout.categorical) == 2
    assert users.cross_BX.shape == (len(both), 0)


def test_nobody_has_nothing(make_split: MakeSplit) -> None:
    """The row after the last: the padding of histories, an unknown user."""
    split = make_split(*EVENTS, items=ITEMS, of_users=USERS)
    batch = fit(split).encode(split.store).events(torch.tensor([3]), torch.tensor([5]), torch.tensor([0]))
    assert batch.categorical_BC.tolist() == [[0, 0, 0, 2]]
    assert batch.numeric_BN.tolist() == [[0, 1, 0, 1, 1]]
    assert batch.tags[0].code.tolist() == [0]
    assert batch.vector_BV.tolist() == [[0, 0]]
    assert batch.cross_BX.tolist() == [[0, 0]]


def test_an_empty_batch_and_no_features(make_split: MakeSplit) -> None:
    split = make_split(*EVENTS, items=ITEMS, of_users=USERS)
    nothing = torch.empty(0, dtype=torch.int64)
    batch = fit(split).encode(split.store).events(nothing, nothing, nothing)
    assert (len(batch), batch.cross_BX.shape, len(batch.tags[0].code)) == (0, (0, 2), 0)
    none = fit(split, {}).encode(split.store)
    assert all(tensor.shape == (24, 0) for tensor in tensors(every_event(none)))


@pytest.mark.parametrize("side", ["items", "users"])
def test_what_only_valid_and_test_hold_changes_nothing_fitted(make_split: MakeSplit, side: str) -> None:
    """Leakage: other values of the items 3 and 4 and of user 2, who have no training event."""
    split = make_split(*EVENTS, items=ITEMS, of_users=USERS)
    items, users = dict(ITEMS), dict(USERS)
    if side == "items":
        items["category"] = [*ITEMS["category"][:3], "b", "other"]
        items["price"] = [*ITEMS["price"][:3], -1e6, None]
        items["tags"] = [*ITEMS["tags"][:3], ["y", "other"], ["x"]]
        items["content"] = [*ITEMS["content"][:3], None, [9.0, 9.0]]
    else:
        users = {"segment": ["s", "t", None], "age": [20, 30, -7]}
    changed = make_split(*EVENTS, items=items, of_users=users, name="changed")
    assert fit(split).state() == fit(changed).state()
    one, other = fit(split).encode(split.store), fit(changed).encode(changed.store)
    assert not torch.equal(every_event(one).numeric_BN, every_event(other).numeric_BN)


def test_later_events_change_nothing_fitted(make_split: MakeSplit) -> None:
    """Leakage: what users do in valid and test, by which the crosses and the weights could tell."""
    split = make_split(*EVENTS, items=ITEMS, of_users=USERS)
    later = [[*user[:-2], (2, user[-2][1]), (1, user[-1][1])] for user in EVENTS]
    changed = make_split(*later, items=ITEMS, of_users=USERS, name="changed")
    assert fit(split).state() == fit(changed).state()


def test_training_events_do_change_it(make_split: MakeSplit) -> None:
    """The tests above could not fail if nothing were ever fitted."""
    split = make_split(*EVENTS, items=ITEMS, of_users=USERS)
    changed = make_split([(3, 0), *EVENTS[0]], *EVENTS[1:], items=ITEMS, of_users=USERS, name="changed")
    ours, theirs = fit(split).state(), fit(changed).state()
    assert [a["name"] for a, b in zip(ours["item"], theirs["item"], strict=True) if a != b] == [
        "item.price", "item.level", "item.tags",
    ]  # fmt: skip


def test_a_saved_space_is_the_same(make_split: MakeSplit, tmp_path: Path) -> None:
    split = make_split(*EVENTS, items=ITEMS, of_users=USERS)
    space = fit(split)
    space.save(tmp_path / "features.json")
    loaded = FeatureSpace.load(tmp_path / "features.json")
    assert loaded == space
    assert loaded.layout == space.layout
    assert_same(loaded.encode(split.store), space.encode(split.store))
    assert_same(every_event(loaded.encode(split.store)), every_event(space.encode(split.store)))


def test_the_state_goes_through_a_checkpoint_as_data(make_split: MakeSplit, tmp_path: Path) -> None:
    split = make_split(*EVENTS, items=ITEMS, of_users=USERS)
    state = fit(split).state()
    torch.save({"features": state}, tmp_path / "last.ckpt")
    loaded = torch.load(tmp_path / "last.ckpt", weights_only=True)["features"]
    assert loaded == state == json.loads(json.dumps(state))
    assert_same(
        every_event(FeatureSpace.from_state(loaded).encode(split.store)), every_event(fit(split).encode(split.store))
    )


def test_features_move_between_devices_whole(make_split: MakeSplit) -> None:
    split = make_split(*EVENTS, items=ITEMS, of_users=USERS)
    features = fit(split).encode(split.store)
    moved = features.to(torch.device("meta"))
    assert all(tensor.device.type == "meta" for tensor in tensors((moved.item_table, moved.user_table)))
    assert all(keys.device.type == "meta" for _, keys in moved.crosses)
    batch = every_event(features)
    assert all(tensor.device.type == "meta" for tensor in tensors(batch.to(torch.device("meta"))))
    assert_same(every_event(features.to(torch.device("cpu"))), batch)


def test_another_store_is_encoded_as_the_first_was(make_split: MakeSplit) -> None:
    """New items at prediction time: same labels same codes, new labels unseen."""
    space = fit(make_split(*EVENTS, items=ITEMS, of_users=USERS))
    new = {"category": ["b", "new"], "price": [2.0, 3.0], "tags": [["y"], ["x"]], "content": [None, [1.0, 1.0]]}
    users = {"segment": ["t"], "age": [25]}
    store = make_split([(0, 0), (1, 1)], items=new, of_users=users, name="new").store
    batch = space.encode(store).items(torch.tensor([0, 1]))
    assert batch.categorical_BC[:, 0].tolist() == [3, 1]
    assert batch.numeric_BN.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert batch.tags[0].code.tolist() == [3, 2]


def test_a_store_without_the_column_is_refused(make_split: MakeSplit) -> None:
    space = fit(make_split(*EVENTS, items=ITEMS, of_users=USERS))
    store = make_split(
        [(0, 0), (0, 1)], items={"category": ["a"]}, of_users=USERS | {"segment": ["s"], "age": [1]}, name="new"
    ).store
    with pytest.raises(
        DataError, match=r"features\.item\.price needs column 'price', which the item table lacks; it has"
    ):
        space.encode(store)


@pytest.mark.parametrize("text", ["", "{}", '{"item": [{"kind": "nose"}], "user": [], "event": {}, "cross": []}', "[]"])
def test_a_damaged_file_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "features.json"
    file.write_text(text)
    with pytest.raises(RunError, match=r"features\.json cannot be read as fitted features"):
        FeatureSpace.load(file)


def test_blocks_do_not_change_the_crosses(make_split: MakeSplit, monkeypatch: pytest.MonkeyPatch) -> None:
    split = make_split(*EVENTS, items=ITEMS, of_users=USERS)
    whole = fit(split).state()
    monkeypatch.setattr("ltsi.features.space.BLOCK_EVENTS", 1)
    assert fit(split).state() == whole
