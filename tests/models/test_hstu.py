"""Facts of the paper on HSTU."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ltsi.errors import DataError
from ltsi.histories import Histories
from ltsi.models.hstu import Hstu, HstuBlock, HstuEncoder, RelativeBias, buckets_between
from ltsi.models.items import Items
from ltsi.models.layers import Dropout
from ltsi.models.times import gap_bucket
from ltsi.sequences.leave_one_out import LeaveOneOut
from ltsi.store import Store

ITEMS, DIM = 10, 8
TIMES = torch.tensor([[0, 5, 90_000, 90_000, 90_700, 9_000_000]])


def hstu(times: bool = True, distances: int = 12) -> Hstu:
    torch.manual_seed(0)
    return Hstu(Items(ITEMS, DIM), DIM, 2, 2, 0.5, 0.25, distances, times).eval()


def block(distances: int = 12) -> HstuBlock:
    torch.manual_seed(0)
    bias = RelativeBias(distances, times=True)
    torch.nn.init.normal_(bias.of_distance)
    torch.nn.init.normal_(bias.of_time)  # type: ignore[arg-type]
    return HstuBlock(DIM, 2, 0.0, bias)


def after_unit(unit: HstuBlock, x_LD: Tensor, drop: Dropout) -> Tensor:
    size, farthest = DIM // 2, len(unit.bias.of_distance) - 1
    u_LD, v_LD, q_LD, k_LD = functional.silu(unit.uvqk(unit.norm(x_LD))).split(DIM, dim=1)
    mixed = torch.zeros(6, DIM)
    for head in range(2):
        own = slice(head * size, (head + 1) * size)
        for i in range(6):
            for j in range(i + 1):
                logit = q_LD[i, own] @ k_LD[j, own] + unit.bias.of_distance[min(i - j, farthest)]
                if unit.bias.of_time is not None:
                    logit = logit + unit.bias.of_time[gap_bucket(TIMES[0, i] - TIMES[0, j])]
                mixed[i, own] += functional.silu(logit) / (i + 1) * v_LD[j, own]
    out_LD: Tensor = x_LD + unit.out(drop(unit.mixed_norm(mixed) * u_LD))
    return out_LD


def test_a_unit_is_the_formula() -> None:
    unit, x_LD = block(), torch.randn(6, DIM)
    torch.testing.assert_close(unit(x_LD[None], buckets_between(TIMES))[0], after_unit(unit, x_LD, Dropout(0.0)))


@pytest.mark.usefixtures("visible_dropout")
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("times", [False, True])
def test_states_are_items_after_all_units_normalised(
    times: bool, stir: Callable[[nn.Module], None], training: bool
) -> None:
    model, item_BL = hstu(times, distances=4), torch.tensor([[1, 2, 3, 2, 5, 6]])
    drop, drop_embedded = Dropout(0.5).train(training), Dropout(0.25).train(training)
    stir(model)
    model.train(training)
    encoder = model.encoder
    assert isinstance(encoder, HstuEncoder)
    with torch.no_grad():
        x_LD = drop_embedded(model.items.embedding(item_BL[0]))
        for unit in encoder.blocks:
            assert isinstance(unit, HstuBlock)
            x_LD = after_unit(unit, x_LD, drop)
        found_LD = model.states(Histories(item_BL, TIMES, torch.tensor([6]), TIMES + 1))[0]
        torch.testing.assert_close(found_LD, encoder.norm(x_LD), rtol=1e-4, atol=1e-5)


def test_a_closed_gate_lets_nothing_through() -> None:
    unit, x_BLD = block(), torch.randn(1, 6, DIM)
    with torch.no_grad():
        unit.uvqk.weight[:DIM].zero_()
        unit.uvqk.bias[:DIM].zero_()
    torch.testing.assert_close(unit(x_BLD, buckets_between(TIMES)), x_BLD + unit.out.bias)


def test_distances_beyond_the_farthest_are_alike() -> None:
    bias_LL = RelativeBias(3, times=False)(6, None)[0]
    assert bias_LL[2:, 0].unique().numel() == 1
    assert bias_LL[:3, 0].unique().numel() == 3


def test_time_counts_on_a_scale_of_powers_of_two_or_not_at_all(make_histories: Callable[..., Histories]) -> None:
    near, far = (make_histories([1, 2, 3], n_items=ITEMS, step=step) for step in (60, 86_400))
    with torch.no_grad():
        assert not torch.allclose(hstu().states(near)[0, 2], hstu().states(far)[0, 2])
        torch.testing.assert_close(hstu(times=False).states(near), hstu(times=False).states(far))
    bias = RelativeBias(3, times=True)
    with torch.no_grad():
        bias.of_distance.zero_()
        of_gap = bias(4, buckets_between(torch.tensor([[0, 1024, 2046, 2047]])))[0, :, 0]
    assert of_gap[1] == of_gap[2] != of_gap[3]


def test_a_log_without_a_clock_is_refused_unless_time_does_not_count(make_store: Callable[..., Store]) -> None:
    split = LeaveOneOut()(make_store(*[[(i, i) for i in range(5)]] * 3, n_items=ITEMS, clock=False))
    with pytest.raises(DataError, match=r"model=hstu needs times.*, or set model\.times=false to train without them\."):
        hstu().fit_statistics(split)
    hstu(times=False).fit_statistics(split)


def test_heads_divide_the_width() -> None:
    with pytest.raises(ValueError, match="heads=3 must divide dim=8"):
        HstuBlock(8, 3, 0.0, RelativeBias(4, times=False))
