"""Models of clicks: dense layers on networks, and counted models as baselines."""

from __future__ import annotations

from collections.abc import Callable
from math import log

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from ltsi.examples import Examples
from ltsi.features.encoded import Bags, FeatureBatch
from ltsi.features.encoder import Layout
from ltsi.histories import Histories
from ltsi.losses.two_class import TwoClass
from ltsi.metrics import auc
from ltsi.models.click import ClickNetwork, ScoredClicks, fit_line
from ltsi.models.feature_embedding import FeatureEmbedding
from ltsi.models.items import Items
from ltsi.models.lstm import Lstm
from ltsi.models.popularity import Popularity

ITEMS = 6
LAYOUT = Layout(
    categorical={"user.segment": 4, "item.category": 5},
    numeric=("item.price",),
    tags={"item.genres": 3},
    vector={"item.content": 2},
    cross={"user.segment × item.category": 7},
)

MakeHistories = Callable[..., Histories]


def features(size: int, seed: int = 0) -> FeatureBatch:
    random = torch.Generator().manual_seed(seed)

    def codes(n_codes: int, columns: int = 1) -> Tensor:
        return torch.randint(n_codes, (size, columns), generator=random)

    bags = Bags(torch.randint(3, (2 * size,), generator=random), torch.arange(size) * 2)
    numbers, vectors = torch.rand(size, 1, generator=random), torch.rand(size, 2, generator=random)
    return FeatureBatch(torch.cat([codes(4), codes(5)], dim=1), numbers, (bags,), vectors, codes(7))


def examples(shown: Histories, row: list[int], position: list[int], item: list[int], label: list[int]) -> Examples:
    at, size = torch.tensor(position), len(item)
    return Examples(
        shown,
        torch.tensor(row),
        at,
        torch.zeros(size, dtype=torch.int64),
        torch.tensor(item),
        torch.tensor(label, dtype=torch.float32),
        torch.arange(size),
        features(size),
    )


@pytest.fixture
def network() -> ClickNetwork:
    torch.manual_seed(0)
    lstm = Lstm(Items(ITEMS, 4), dim=4, hidden=4, layers=1, dropout=0.5, embedding_dropout=0.5)
    return ClickNetwork(lstm, LAYOUT, feature_dim=3, hidden=[8, 5], dropout=0.5)


@pytest.fixture
def group(make_histories: MakeHistories) -> Examples:
    shown = make_histories([1, 2, 3], [4, 0], n_items=ITEMS, padding=2)
    return examples(shown, [0, 0, 1, 1], [2, 0, 1, 1], [3, 1, 5, 2], [1, 0, 1, 0])


def test_features_stand_side_by_side() -> None:
    torch.manual_seed(0)
    embedding, given = FeatureEmbedding(LAYOUT, 3), features(2)
    found, table = embedding(given), embedding.codes.weight
    assert found.shape == (2, embedding.width) == (2, 3 * 3 + 1 + 2 + 3)
    for row in range(2):
        segment, category = given.categorical_BC[row].tolist()
        cross, bag = int(given.cross_BX[row, 0]), given.tags[0].code[2 * row : 2 * row + 2]
        expected = [
            # Columns look up rows of their own: 4 segments, then 5 categories, then the crosses.
            *(table[segment], table[4 + category], table[9 + cross]),
            *(given.numeric_BN[row], given.vector_BV[row]),
            embedding.tags[0].get_parameter("weight")[bag].mean(dim=0),
        ]
        torch.testing.assert_close(found[row], torch.cat(expected))


def test_what_training_never_met_says_nothing_until_it_is_met() -> None:
    torch.manual_seed(0)
    embedding = FeatureEmbedding(LAYOUT, 3)
    first_row = [0, 4, 9]
    for code, silent in ((0, True), (1, True), (2, False)):
        rows = embedding.codes.weight[[row + code for row in first_row]]
        bag = embedding.tags[0].get_parameter("weight")[code]
        assert (not rows.any() and not bag.any()) == silent


def test_an_example_alone_has_the_same_logit(
    network: ClickNetwork, group: Examples, make_histories: MakeHistories
) -> None:
    """The state is that of the history up to the position asked, whatever stands beside, behind or around it."""
    network.eval()
    with torch.no_grad():
        together = network.logits([group])
        vectors = network.features(group.features)
        for e, history in enumerate([[1, 2, 3], [1], [4, 0], [4, 0]]):
            state_D = network.network.answers(make_histories(history, n_items=ITEMS))[0, -1]
            item_D = network.network.items(group.item_E[e])
            alone = network.dense(torch.cat([state_D, item_D, state_D * item_D, vectors[e]]))
            torch.testing.assert_close(together[e], alone[0])


def test_groups_follow_each_other_and_gradients_are_those_of_one_pass(
    network: ClickNetwork, group: Examples, make_histories: MakeHistories
) -> None:
    network.eval()
    other = examples(make_histories([5, 5, 1, 2], n_items=ITEMS), [0, 0], [3, 1], [0, 4], [0, 1])
    with torch.no_grad():
        plain = torch.cat([network.logits([group]), network.logits([other])])
    logit = network.logits([group, other])
    torch.testing.assert_close(logit.detach(), plain)
    logit.square().sum().backward()
    found = {
        name: parameter.grad.clone() for name, parameter in network.named_parameters() if parameter.grad is not None
    }
    network.zero_grad()
    for part in (group, other):
        network.logits([part]).square().sum().backward()
    assert found.keys() == {name for name, _ in network.named_parameters()}
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad)


def test_it_learns_what_is_planted(network: ClickNetwork, make_histories: MakeHistories) -> None:
    """Acts if the item is the one after the last: only user and item together tell."""
    shown = make_histories(*([i, (i + 1) % ITEMS] for i in range(ITEMS)), n_items=ITEMS)
    row = [b for b in range(ITEMS) for _ in range(ITEMS)]
    item = list(range(ITEMS)) * ITEMS
    label = [int(i == (b + 2) % ITEMS) for b, i in zip(row, item, strict=True)]
    data = examples(shown, row, [1] * len(row), item, label)
    optimizer = torch.optim.Adam(network.parameters(), 0.05)
    network.eval()  # without dropout
    for _ in range(60):
        optimizer.zero_grad()
        (network.training_loss([data], TwoClass()) / len(row)).backward()
        optimizer.step()
    with torch.no_grad():
        assert auc(data.label_E.numpy() > 0, network.logits([data]).double().numpy()) > 0.99


def test_dropout_acts_while_training_only(network: ClickNetwork, group: Examples) -> None:
    network.train()
    with torch.no_grad():
        assert not torch.equal(network.logits([group]), network.logits([group]))
        network.eval()
        assert torch.equal(network.logits([group]), network.logits([group]))


def test_cross_entropy_is_summed() -> None:
    logit, label = torch.tensor([0.0, 2.0, -1.0]), torch.tensor([1.0, 0.0, 0.0])
    expected = log(2) + log(1 + torch.tensor(2.0).exp()) + log(1 + torch.tensor(-1.0).exp())
    assert float(TwoClass()(logit, label)) == pytest.approx(expected)
    assert TwoClass()(logit.half(), label).dtype == torch.float32
    assert float(TwoClass()(logit.half(), label)) == pytest.approx(expected), "these logits are exact in half precision"


def counted(counts: list[float]) -> ScoredClicks:
    popularity = Popularity(len(counts))
    popularity.count_I = torch.tensor(counts)
    return ScoredClicks(popularity)


def test_an_empty_history_has_an_answer_of_its_own(network: ClickNetwork, make_histories: MakeHistories) -> None:
    def logits(*items: list[int]) -> Tensor:
        shown = make_histories(*items, n_items=ITEMS)
        last = [len(history) - 1 for history in items]
        return network.eval().logits(
            [examples(shown, list(range(len(items))), last, [1] * len(items), [1] * len(items))]
        )

    with torch.no_grad():
        one, other = logits([1, 2], [], [3]), logits([4], [], [5, 0])
    torch.testing.assert_close(one[1], other[1])
    assert (one[[0, 2]] - other[[0, 2]]).abs().min() > 1e-4


def test_every_weight_that_learns_gets_a_gradient(group: Examples) -> None:
    """Training on several devices waits for each; what scores the whole catalogue is not asked."""
    items = Items(ITEMS, 4, tied=False, bias=True, cosine=True, learn_temperature=True)
    network = ClickNetwork(Lstm(items, 4, 4, 1, 0.0, 0.0), LAYOUT, 3, [4], 0.0)
    network.logits([group]).sum().backward()
    assert [key for key, weight in network.named_parameters() if weight.requires_grad and weight.grad is None] == []


def test_a_counted_model_keeps_its_order(group: Examples) -> None:
    model = counted([8.0, 0.0, 1.0, 2.0, 0.0, 5.0])
    p = torch.tensor([2, 0, 5, 1]).double() / 16
    expected = (0.99 * p + 0.01 / 6).log()
    torch.testing.assert_close(model.logits([group]), expected, atol=1e-6, rtol=0)
    # Positives are the items 3 and 5, negatives 1 and 2: calibrated upside down, the order must stay.
    for label in ([1, 0, 1, 0], [0, 1, 0, 1]):
        group.label_E.copy_(torch.tensor(label))
        model.calibrate([group, group])
        assert model.logits([group]).argsort().tolist() == p.argsort().tolist()


def test_a_calibrated_model_says_the_share_of_positives(group: Examples) -> None:
    flat = counted([1.0] * ITEMS)
    group.label_E.copy_(torch.tensor([1, 0, 0, 0]))
    flat.calibrate([group] * 100)
    share = (100 * 101 / 102 + 300 * 1 / 302) / 400  # the mean of Platt's targets
    torch.testing.assert_close(flat.logits([group]).sigmoid(), torch.full((4,), share).double(), atol=1e-6, rtol=0)


def test_calibration_is_logistic_regression() -> None:
    torch.manual_seed(0)
    score = torch.randn(4000, dtype=torch.float64) * 3 - 7
    label = (torch.rand(4000) < (0.6 * score + 3).sigmoid()).float()
    slope, offset = fit_line(score, label).tolist()
    theirs = LogisticRegression(C=1e9, tol=1e-10).fit(score[:, None].numpy(), label.numpy())
    assert slope == pytest.approx(theirs.coef_[0, 0], abs=0.01)
    assert offset == pytest.approx(theirs.intercept_[0], abs=0.05)


def test_classes_that_a_threshold_tells_apart_have_a_finite_slope() -> None:
    score = torch.tensor([-3.0, -2.0, 1.0, 2.0], dtype=torch.float64)
    slope, offset = fit_line(score, torch.tensor([0.0, 0.0, 1.0, 1.0])).tolist()
    assert 0 < slope < 20
    assert -20 < offset < 20
