"""Facts of the paper on CLSR."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from ltsi.errors import DataError
from ltsi.histories import Histories, TrainingBatch, TrainingGroup
from ltsi.losses.softmax import Softmax
from ltsi.models.clsr import Clsr, contrast
from ltsi.models.gru import GruEncoder
from ltsi.models.items import Items
from ltsi.models.layers import Dropout
from ltsi.models.time_lstm import TimeLstmEncoder
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.store import Store

MakeHistories = Callable[..., Histories]
ITEMS, DIM = 10, 6
# A history with a contrast at its last three positions, and one that is too short for it.
ROWS = [[3, 1, 4, 1, 5, 9], [2, 6, 5]]
TARGETS = torch.tensor([[1, 4, 1, 5, 9, 2], [6, 5, 3, ITEMS, ITEMS, ITEMS]])


def clsr(weight: float = 0.5, recent: int = 2, min_length: int = 4, embedding_dropout: float = 0.0) -> Clsr:
    torch.manual_seed(0)
    short = GruEncoder(DIM, 7, 1, 0.0)
    model = Clsr(Items(ITEMS, DIM), short, DIM, recent, weight, min_length, embedding_dropout)
    for users in (model.long_users, model.short_users):
        users.make_room(3)
        with torch.no_grad():
            users.common.normal_()
            users.own.weight[1:].normal_()
    return model.eval()


def shown(make_histories: MakeHistories, *users: int) -> Histories:
    made = make_histories(*ROWS, n_items=ITEMS)
    return Histories(made.item_BL, made.time_BL, made.length_B, made.now_BL, torch.tensor(users or [0, 1]))


def test_the_contrast_is_the_formula() -> None:
    long, short, p_long, p_short = ([1.0, 2.0], [0.0, 3.0], [1.0, 1.0], [2.0, -1.0])

    def product(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True))

    def soft(x: float) -> float:
        return math.log(1 + math.exp(x))

    expected = soft(product(long, p_short) - product(long, p_long))
    expected += soft(product(short, p_long) - product(short, p_short))
    expected += soft(product(p_long, short) - product(p_long, long))
    expected += soft(product(p_short, long) - product(p_short, short))
    found = contrast(*(torch.tensor([part]) for part in (long, short, p_long, p_short)))
    torch.testing.assert_close(found, torch.tensor([expected]))


def interests(model: Clsr, items: list[int], user: int, last: int) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the long and the short interest and the state at one position from the events up to it."""
    x_LD = Dropout(0.5).train(model.training)(model.items.embedding(torch.tensor(items[: last + 1])))
    scaled_LD = DIM**0.5 * x_LD
    long_user = model.long_users.common + model.long_users.own.weight[user + 1]
    short_user = model.short_users.common + model.short_users.own.weight[user + 1]
    weight_L = model.long_score(scaled_LD[None], long_user[None])[0].softmax(0)
    long = model.long_norm(weight_L @ scaled_LD)
    empty = torch.zeros(1, dtype=torch.int64)
    output_LD = model.short(x_LD[None], Histories(empty, empty, empty, empty))[0]
    query = model.query(x_LD[None], short_user[None, None])[0][0, -1]
    weight_L = (model.short_key(output_LD) @ query / DIM**0.5).softmax(0)
    short = model.short_norm(weight_L @ output_LD)
    share = torch.sigmoid(model.share(torch.cat([model.mix(x_LD[None])[0][0, -1], long, short])))
    return long, short, model.norm(share * long + (1 - share) * short)


@pytest.mark.usefixtures("visible_dropout")
@pytest.mark.parametrize("training", [False, True])
def test_a_state_is_the_formula_on_the_events_up_to_it(make_histories: MakeHistories, training: bool) -> None:
    model = clsr(embedding_dropout=0.5).train(training)
    states = model.states(shown(make_histories))
    for row, items in enumerate(ROWS):
        for last in range(len(items)):
            torch.testing.assert_close(states[row, last], interests(model, items, row, last)[2])


def loss_of(model: Clsr, histories: Histories) -> Tensor:
    return model.training_loss(TrainingBatch([TrainingGroup(histories, TARGETS)], 9), Softmax())


def test_the_loss_adds_the_contrast_of_positions_with_enough_of_a_past(make_histories: MakeHistories) -> None:
    expected = torch.zeros(())
    model, items = clsr(), ROWS[0]
    for last in (3, 4, 5):
        long, short, _ = interests(model, items, 0, last)
        x_LD = model.items.embedding(torch.tensor(items[: last + 1]))
        parts = (long / DIM**0.5, short / DIM**0.5, x_LD.mean(0), x_LD[-2:].mean(0))
        expected = expected + contrast(*(part[None] for part in parts)).squeeze(0)
    histories = shown(make_histories)
    added = loss_of(model, histories) - loss_of(clsr(0.0), histories)
    torch.testing.assert_close(added, 0.5 * expected / 9)
    assert loss_of(clsr(min_length=7), histories) == loss_of(clsr(0.0), histories)


def test_without_contrast_it_is_the_loss_of_the_next_item(make_histories: MakeHistories) -> None:
    model, histories = clsr(0.0), shown(make_histories)
    state_ND = model.states(histories)[histories.real_BL()]
    target_N = TARGETS[TARGETS < ITEMS]
    plain = functional.cross_entropy(state_ND @ model.items.vectors().T, target_N)
    torch.testing.assert_close(loss_of(model, histories), plain)


def test_the_contrast_pulls_interests_to_their_proxies(make_histories: MakeHistories) -> None:
    model, histories = clsr(100.0), shown(make_histories)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        loss = loss_of(model, histories)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]


def test_training_keeps_no_matrix_of_all_pairs(make_histories: MakeHistories) -> None:
    largest, model = 0, clsr().train()

    def measure(tensor: Tensor) -> Tensor:
        nonlocal largest
        largest = max(largest, tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(measure, lambda tensor: tensor):
        model.states(make_histories([place % ITEMS for place in range(150)], n_items=ITEMS))
    assert largest < 150 * 150


def test_users_have_queries_of_their_own_and_strangers_the_common_ones(make_histories: MakeHistories) -> None:
    model = clsr()
    with torch.no_grad():
        own, stranger = model.states(shown(make_histories)), model.states(shown(make_histories, -1, 99))
        # One event alone is all there is to attend to.
        torch.testing.assert_close(own[:, 0], stranger[:, 0])
        assert not torch.allclose(own[0, 5], stranger[0, 5])
        for users in (model.long_users, model.short_users):
            users.own.weight.zero_()
        torch.testing.assert_close(model.states(shown(make_histories)), stranger)


def test_an_encoder_that_needs_a_clock_asks_for_it(make_store: Callable[..., Store]) -> None:
    split = LeaveOneOut()(make_store(*[[(i, i) for i in range(5)]] * 3, n_items=ITEMS, clock=False))
    model = clsr()
    model.fit_statistics(split)
    assert model.long_users.own.weight.shape == model.short_users.own.weight.shape == (4, DIM)
    model.short = TimeLstmEncoder(DIM, 7, 1, 0.0)
    with pytest.raises(DataError, match="model=time_lstm needs times"):
        model.fit_statistics(split)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: clsr(recent=4), "recent=4 must be at least 1 and below min_length=4"),
        (lambda: clsr(weight=-1.0), "contrast=-1.0 must not be negative"),
    ],
)
def test_settings_that_mean_nothing_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
