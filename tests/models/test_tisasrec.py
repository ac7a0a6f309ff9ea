"""Facts of the paper on TiSASRec."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ltsi.errors import DataError
from ltsi.histories import Histories
from ltsi.models.items import Items
from ltsi.models.layers import Dropout
from ltsi.models.tisasrec import IntervalAttention, TiSasRec, TiSasRecBlock, TiSasRecEncoder, personal_intervals
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.store import Store

ITEMS, DIM = 10, 8
TIMES = torch.tensor([[0, 4, 5, 5, 9, 30, 31, 33, 60, 61, 62]])


LaidOut = tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], Tensor]


def tisasrec(max_interval: int = 5, layers: int = 1, dropout: float = 0.0) -> TiSasRec:
    torch.manual_seed(0)
    model = TiSasRec(Items(ITEMS, DIM), 12, max_interval, DIM, layers, 2, dropout, embedding_dropout=dropout / 2)
    return model.eval()


def test_intervals_are_counted_in_the_smallest_one_so_far() -> None:
    time_BL = torch.tensor([[0, 30, 40, 40, 75], [7, 7, 7, 10, 1000]])
    assert personal_intervals(time_BL, 99).tolist() == [
        # The unit is 30 at the second event, 10 from then on; 35 / 10 and 45 / 10 are rounded down.
        [[0, 0, 0, 0, 0], [1, 0, 0, 0, 0], [4, 1, 0, 0, 0], [4, 1, 0, 0, 0], [7, 4, 3, 3, 0]],
        # Events of the same time do not make the unit zero.
        [[0] * 5, [0] * 5, [0] * 5, [1, 1, 1, 0, 0], [99, 99, 99, 99, 0]],
    ]


def test_a_user_is_measured_by_the_own_pace(make_histories: Callable[..., Histories]) -> None:
    model = tisasrec()
    fast, slow = (make_histories([1, 2, 3, 4], n_items=ITEMS, step=step) for step in (60, 86_400))
    with torch.no_grad():
        torch.testing.assert_close(model.states(fast), model.states(slow))
        time_BL = fast.time_BL.clone()
        time_BL[0, -1] += 120
        other = Histories(fast.item_BL, time_BL, fast.length_B, fast.now_BL)
        assert not torch.allclose(model.states(fast)[0, -1], model.states(other)[0, -1])


def test_intervals_beyond_the_longest_are_alike(make_histories: Callable[..., Histories]) -> None:
    model, shown = tisasrec(max_interval=3), make_histories([1, 2, 3, 4], n_items=ITEMS, step=10)
    states = []
    for late in (30, 40, 10**9):
        time_BL = shown.time_BL.clone()
        time_BL[0, -1] += late
        states.append(model.states(Histories(shown.item_BL, time_BL, shown.length_B, shown.now_BL)))
    torch.testing.assert_close(states[0], states[2])
    torch.testing.assert_close(states[1], states[2])


def pair_by_pair(
    attention: IntervalAttention,
    x_LD: Tensor,
    positions: tuple[Tensor, Tensor],
    intervals: tuple[Tensor, Tensor],
    interval_LL: Tensor,
    drop: Dropout,
) -> Tensor:
    """Lay every pair's vectors out, as the paper writes them."""
    (key_LD, value_LD), (key_ID, value_ID) = positions, intervals
    size = x_LD.shape[1] // attention.heads
    q_LD, k_LD, v_LD = attention.query(x_LD), attention.key(x_LD), attention.value(x_LD)
    mixed = torch.zeros_like(x_LD)
    for head in range(attention.heads):
        own = slice(head * size, (head + 1) * size)
        for i in range(len(x_LD)):
            near = interval_LL[i, : i + 1]
            keys = k_LD[: i + 1, own] + key_LD[: i + 1, own] + key_ID[near, own]
            values = v_LD[: i + 1, own] + value_LD[: i + 1, own] + value_ID[near, own]
            mixed[i, own] = drop((keys @ q_LD[i, own] / size**0.5).softmax(0)) @ values
    return mixed


def test_attention_is_the_formula_and_lays_nothing_out_for_every_pair() -> None:
    torch.manual_seed(0)
    attention, x_LD = IntervalAttention(DIM, 2, 0.0), torch.randn(11, DIM)
    key_LD, value_LD = torch.randn(2, 11, DIM)
    key_ID, value_ID = torch.randn(2, 6, DIM)
    interval_BLL = personal_intervals(TIMES, 5)
    assert interval_BLL.unique().tolist() == list(range(6))
    largest = 0

    def measure(tensor: Tensor) -> Tensor:
        nonlocal largest
        largest = max(largest, tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(measure, lambda tensor: tensor):
        found = attention(x_LD[None], (key_LD, value_LD), (key_ID, value_ID), interval_BLL)[0]
    laid_out = ((key_LD, value_LD), (key_ID, value_ID), interval_BLL[0])
    torch.testing.assert_close(found, pair_by_pair(attention, x_LD, *laid_out, Dropout(0.0)))
    assert largest <= 2 * 11 * 11, "heads by pairs; not by width"


def after_block(block: TiSasRecBlock, x_LD: Tensor, laid_out: LaidOut, drop: Dropout) -> Tensor:
    first, last = block.network[0], block.network[3]
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    x_LD = x_LD + drop(pair_by_pair(block.attention, block.attention_norm(x_LD), *laid_out, drop))
    inner_LD = drop(functional.relu(block.network_norm(x_LD) @ first.weight.T + first.bias))
    assert inner_LD.shape == x_LD.shape
    out_LD: Tensor = x_LD + drop(inner_LD @ last.weight.T + last.bias)
    return out_LD


@pytest.mark.usefixtures("visible_dropout")
@pytest.mark.parametrize("training", [False, True])
def test_states_are_those_of_the_paper_with_the_same_intervals_in_all_blocks(
    stir: Callable[[nn.Module], None], training: bool
) -> None:
    model, item_BL = tisasrec(layers=2, dropout=0.5), torch.tensor([[1, 2, 3, 2, 5, 6, 7, 8, 4, 4, 9]])
    drop, drop_embedded = Dropout(0.5).train(training), Dropout(0.25).train(training)
    stir(model)
    model.train(training)
    encoder = model.encoder
    assert isinstance(encoder, TiSasRecEncoder)
    with torch.no_grad():
        positions = (encoder.key_position.weight[:11], encoder.value_position.weight[:11])
        intervals = (encoder.key_interval_ID, encoder.value_interval_ID)
        laid_out = (positions, intervals, personal_intervals(TIMES, 5)[0])
        x_LD = drop_embedded(model.items.embedding(item_BL[0]))
        for block in encoder.blocks:
            assert isinstance(block, TiSasRecBlock)
            x_LD = after_block(block, x_LD, laid_out, drop)
        found_LD = model.states(Histories(item_BL, TIMES, torch.tensor([11]), TIMES + 1))[0]
        torch.testing.assert_close(found_LD, encoder.norm(x_LD), rtol=1e-4, atol=1e-5)


def test_a_log_without_a_clock_is_refused(make_store: Callable[..., Store]) -> None:
    split = LeaveOneOut()(make_store(*[[(i, i) for i in range(5)]] * 3, clock=False))
    with pytest.raises(DataError, match=r"model=tisasrec needs times.*prepare it from a source with times"):
        tisasrec().fit_statistics(split)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TiSasRecEncoder(8, 1, 2, 0.0, 10, 0), "max_interval=0 must be at least 1"),
        (lambda: IntervalAttention(8, 3, 0.0), "heads=3 must divide dim=8"),
    ],
)
def test_sizes_that_mean_nothing_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
