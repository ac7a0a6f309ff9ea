"""Items known by what they are: cold ones rank by their content, and the content is the projection it claims to be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hydra import compose, initialize_config_module
from torch import Tensor

from ltsi.errors import ConfigError, DataError
from ltsi.features.declarations import read_declarations
from ltsi.features.space import FeatureSpace
from ltsi.histories import Histories, TrainingBatch, TrainingGroup
from ltsi.losses.softmax import Softmax
from ltsi.models.content import ContentItems
from ltsi.models.network import SequenceNetwork
from ltsi.sequences.batches import RankingBatches, TrainingBatches
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.sequences.split import Split
from ltsi.store import EncodedEvents, Store, store_path
from ltsi.store_writer import write_store
from ltsi.workflows.experiment import build_model

MakeHistories = Callable[..., Histories]
DAY = 86_400
DIM = 8

# Items 4 and 5 never occur in training.
TABLE: dict[str, list[Any]] = {
    "item": list("012345"),
    "category": ["a", "b", "a", None, "b", "c"],
    "price": [1.0, 2.0, None, 3.0, 2.5, 9.0],
    "labels": [["x", "y", "z"], ["x"], [], ["y"], ["x", "y"], ["only cold"]],
    "picture": [[1.0, 0.0], [2.0, 2.0], [0.0, 3.0], None, [1.0, 1.0], [9.0, 9.0]],
}
FEATURES = {"category": "categorical", "price": "numeric", "labels": "tags", "picture": "vector"}
TRAINED, COLD = [0, 1, 2, 3], [4, 5]


def split_of(users: Sequence[Sequence[int]], table: dict[str, list[Any]]) -> Split:
    """Cuts a log with one event a day; the last two of each user are held out."""
    item = [item for user in users for item in user]
    arrays = EncodedEvents(
        offsets=np.cumsum([0, *map(len, users)]),
        item=np.array(item, dtype=np.int32),
        time=np.concatenate([np.arange(len(user)) * DAY for user in users]),
        behavior=np.zeros(len(item), dtype=np.uint8),
    )
    people = pl.DataFrame({"user": [str(user) for user in range(len(users))]})
    store: Store = write_store(
        store_path("log"), arrays, items=pl.DataFrame(table), users=people, manifest={"time": {"clock": True}}
    )
    return LeaveOneOut()(store)


@pytest.fixture
def split() -> Split:
    return split_of([[0, 1, 2, 3, 4, 5], [3, 2, 1, 0, 5, 4]] * 3, TABLE)


def fitted(split: Split, **options: Any) -> ContentItems:
    torch.manual_seed(0)
    items = ContentItems(split.store.n_items, DIM, **{"features": FEATURES, "id_dropout": 0.0, **options})
    items.fit_statistics(split)
    return items.eval()


def network(split: Split, *overrides: str, seed: int = 1) -> SequenceNetwork:
    sizes = [f"n_items={split.store.n_items}", "max_length=12", "model.dim=16", "model.hidden=32"]
    with initialize_config_module("ltsi.conf", version_base="1.3"):
        cfg = compose("train", ["model=lstm", *sizes, *overrides])
    torch.manual_seed(seed)
    model = build_model(cfg)
    assert isinstance(model, SequenceNetwork)
    return model


def test_a_vector_is_the_id_vector_and_the_projection_of_each_feature(split: Split) -> None:
    items, content = fitted(split), fitted(split).content
    declared = read_declarations({"item": FEATURES}, split.store)
    space = FeatureSpace.fit(split, declared)
    found, layout = space.encode(split.store).items(torch.arange(6)), space.item_layout
    n_categories, n_labels = layout.categorical["item.category"], layout.tags["item.labels"]
    assert content.code_CD.shape == (n_categories + n_labels, DIM)
    category_CD, label_CD = content.code_CD.split([n_categories, n_labels])
    (bags,) = found.tags
    labels_ID = torch.nn.functional.embedding_bag(bags.code, label_CD, bags.offset_B, mode="mean")
    # The mean squared length of the pictures in training: 1, 8, 9 and a missing one.
    numbers_IN = torch.cat([found.numeric_BN, found.vector_BV / (18 / 4) ** 0.5], dim=1)
    content_ID = category_CD[found.categorical_BC[:, 0]] + labels_ID + numbers_IN @ content.number_ND
    expected_ID = content_ID.clone()
    expected_ID[TRAINED] += items.embedding.weight[TRAINED]
    torch.testing.assert_close(items.vectors(), expected_ID)
    item_BL = torch.tensor([[3, 3, 6], [0, 5, 6]])
    torch.testing.assert_close(items(item_BL), torch.cat([expected_ID, torch.zeros(1, DIM)])[item_BL])


def test_what_no_training_item_has_says_nothing(split: Split) -> None:
    content = fitted(split, features={"category": "categorical", "labels": "tags"}).content
    # Category and label of item 5 are unseen in training.
    assert content(torch.tensor([5])).eq(0).all()
    assert content(torch.tensor([4])).ne(0).all()


@pytest.mark.parametrize("options", [{"tied": False}, {"bias": True}, {"cosine": True, "temperature": 0.1}], ids=str)
def test_the_id_of_a_cold_item_never_counts(split: Split, options: dict[str, Any]) -> None:
    items = fitted(split, **options)
    before = items.vectors().detach().clone()
    with torch.no_grad():
        for parameter in (items.embedding.weight, items.output_ID, items.bias_I):
            if parameter is not None:
                parameter[COLD] += 1
    torch.testing.assert_close(items.vectors(), before)


@pytest.mark.parametrize("options", [{}, {"tied": False, "bias": True}], ids=str)
def test_the_vectors_of_some_items_are_those_of_all(split: Split, options: dict[str, Any]) -> None:
    items, item_U = fitted(split, **options), torch.tensor([5, 0, 3, 3])
    if items.bias_I is not None:
        torch.nn.init.normal_(items.bias_I)
    torch.testing.assert_close(items.vectors(item_U), items.vectors()[item_U])


def test_cold_items_teach_content_nothing_while_training(split: Split) -> None:
    items = fitted(split).train()
    items.vectors()[COLD].sum().backward()
    assert items.content.code_CD.grad is not None
    assert not items.content.code_CD.grad.any()
    items.vectors()[TRAINED].sum().backward()
    assert items.content.code_CD.grad.any()


def test_ids_are_dropped_at_random_while_training_only(split: Split) -> None:
    items = fitted(split, id_dropout=0.25)
    whole_ID, content_ID = items.vectors(), items.content(torch.arange(6))
    items.train()
    dropped = 0
    for _ in range(200):
        vector_ID = items.vectors()
        alone_I = torch.isclose(vector_ID, content_ID).all(dim=1)
        whole_I = torch.isclose(vector_ID, whole_ID).all(dim=1)
        assert (alone_I | whole_I).all()
        dropped += int(alone_I[TRAINED].sum())
    assert dropped / 800 == pytest.approx(0.25, abs=0.05)
    embedded = torch.stack([items(torch.tensor([[0, 1], [2, 3]])) for _ in range(50)])
    assert len(embedded.unique(dim=0)) > 5


def test_items_without_features_are_refused() -> None:
    split = split_of([[0, 1, 2, 0, 1]] * 3, {"item": list("012")})
    with pytest.raises(DataError, match="items of store 'log' have only their id"):
        fitted(split, features="auto")
    with pytest.raises(ConfigError, match=r"features.item.color: the items of store 'log' have no column 'color'"):
        fitted(split, features={"color": "categorical"})


def test_features_are_fitted_on_the_training_part() -> None:
    users = [[0, 1, 2, 3, 4, 5], [3, 2, 1, 0, 5, 4]] * 3
    one = fitted(split_of(users, TABLE)).state_dict()
    swapped = fitted(split_of([[*user[:-2], 0, 1] for user in users], TABLE)).state_dict()
    assert [key for key in one if not torch.equal(one[key], swapped[key])] == []


@torch.no_grad()
def distribution(model: SequenceNetwork, histories: Histories) -> Tensor:
    score_BI: Tensor = model.eval()(histories)
    return score_BI.softmax(dim=1)


def test_a_state_dict_alone_restores_the_model(split: Split, make_histories: MakeHistories, tmp_path: Path) -> None:
    model, fresh = (network(split, "model/items=content", seed=seed) for seed in (1, 2))
    model.fit_statistics(split)
    torch.save(model.state_dict(), tmp_path / "state.pt")
    fresh.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    histories = make_histories([0, 1], [4], [5, 2, 3], n_items=6)
    assert torch.equal(distribution(model, histories), distribution(fresh, histories))
    alone = distribution(model, make_histories([0, 1], n_items=6, padding=2))
    torch.testing.assert_close(alone[0], distribution(model, histories)[0])


def test_training_is_on_the_scores_ranked_by_and_every_weight_takes_part(
    split: Split, make_histories: MakeHistories
) -> None:
    model = network(split, "model/items=content", "model.items.bias=true", "model.items.temperature=0.5").eval()
    model.fit_statistics(split)
    histories = make_histories([0, 1], n_items=6)
    batch = TrainingBatch([TrainingGroup(histories, torch.tensor([[6, 3]]))], 1)
    loss = model.training_loss(batch, Softmax())
    torch.testing.assert_close(loss, -distribution(model, histories)[0, 3].log())
    loss.backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []


CATEGORIES, IN_TRAINING, HELD_OUT = 5, 6, 3


@pytest.fixture
def tastes() -> Split:
    """Cuts a log in which items of a category follow each other, and the last one is cold."""
    random, size, users = np.random.default_rng(0), IN_TRAINING + HELD_OUT, []
    for user in range(200):
        first = user % CATEGORIES * size
        users.append([*(first + random.integers(0, IN_TRAINING, 9)), first + IN_TRAINING + random.integers(HELD_OUT)])
    table = {"item": [str(i) for i in range(CATEGORIES * size)]}
    return split_of(users, table | {"kind": [str(i // size) for i in range(CATEGORIES * size)]})


@pytest.mark.parametrize(("choice", "least", "most"), [("content", 0.95, 1.0), ("tied", 0.0, 0.45)])
def test_cold_items_of_the_right_category_rank_above_others(
    tastes: Split, choice: str, least: float, most: float
) -> None:
    model = network(tastes, f"model/items={choice}")
    model.fit_statistics(tastes)
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for epoch in range(4):
        for batch in TrainingBatches(tastes, 12, 32, seed=1).epoch(epoch):
            optimizer.zero_grad()
            model.training_loss(batch, Softmax()).backward()
            optimizer.step()
    size = IN_TRAINING + HELD_OUT
    cold = torch.arange(CATEGORIES * size).view(CATEGORIES, size)[:, IN_TRAINING:]
    shares = []
    for ranking in RankingBatches(tastes.store, tastes.test, 12, hide_seen=False):
        p_BI = distribution(model, ranking.histories)
        best_BC = p_BI[:, cold.flatten()].topk(HELD_OUT).indices // HELD_OUT
        shares.append((best_BC == ranking.target_B[:, None] // size).double().mean(dim=1))
    # At chance one in five of the best cold items is of the user's category.
    assert least <= float(torch.cat(shares).mean()) <= most
