"""Facts of the paper on linear recurrent units."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ltsi.models.items import Items
from ltsi.models.layers import Dropout
from ltsi.models.lru import FASTEST, SLOWEST, LinearRecurrentUnit, Lru, LruBlock, LruEncoder

DIM = 6


def test_a_unit_is_the_formula() -> None:
    torch.manual_seed(0)
    unit, x_LD = LinearRecurrentUnit(3, 5), torch.randn(9, 3)
    torch.nn.init.normal_(unit.learned_3H, std=0.1)
    rate, turn, scale = (unit.start_3H + unit.learned_3H).exp()
    keep = torch.exp(torch.complex(-rate, turn))
    b_H2D, bias_H2 = unit.into.weight.view(5, 2, 3), unit.into.bias.view(5, 2)
    b_HD, bias_H = torch.complex(b_H2D[:, 0], b_H2D[:, 1]), torch.complex(bias_H2[:, 0], bias_H2[:, 1])
    # Re((a − ib)(h + ik)) = ah + bk
    c_DH2 = unit.out.weight.view(3, 5, 2)
    c_DH = torch.complex(c_DH2[..., 0], -c_DH2[..., 1])
    state, expected = torch.zeros(5, dtype=torch.complex64), []
    for x in x_LD:
        state = keep * state + scale * (b_HD @ x.to(torch.complex64) + bias_H)
        expected.append((c_DH @ state).real + unit.out.bias)
    torch.testing.assert_close(unit(x_LD[None])[0], torch.stack(expected))


def test_it_begins_on_a_ring_and_gives_the_state_the_size_of_its_input() -> None:
    torch.manual_seed(0)
    unit = LinearRecurrentUnit(4, 4000)
    keep, scale = (part.detach() for part in unit.dynamics())
    radius, angle = keep.abs(), unit.start_3H[1].exp()
    torch.testing.assert_close(torch.polar(radius, angle), keep)
    assert radius.min() >= FASTEST
    assert radius.max() <= SLOWEST
    # Uniform on the ring: half of the units lie within the radius that halves its area.
    middle = ((FASTEST**2 + SLOWEST**2) / 2) ** 0.5
    assert abs(float((radius < middle).float().mean()) - 0.5) < 0.03
    assert abs(float(angle.mean()) - torch.pi) < 0.1
    torch.testing.assert_close(scale**2, 1 - radius**2)


def test_a_state_fades_whatever_is_learned() -> None:
    unit = LinearRecurrentUnit(4, 8)
    with torch.no_grad():
        unit.learned_3H[0].copy_(torch.linspace(-6, 6, 8))
        unit.learned_3H[1].uniform_(-9, 9)
        assert (unit.dynamics()[0].abs() < 1).all()
        assert unit(torch.randn(1, 3000, 4)).isfinite().all()


def after_block(block: LruBlock, x_LD: Tensor, drop: Dropout) -> Tensor:
    first, last = block.network[0], block.network[3]
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    x_LD = block.unit_norm(x_LD + drop(block.unit(x_LD[None])[0]))
    inner_LH = drop(functional.gelu(x_LD @ first.weight.T + first.bias))
    assert inner_LH.shape == (len(x_LD), 4 * DIM)
    out_LD: Tensor = block.network_norm(x_LD + drop(inner_LH @ last.weight.T + last.bias))
    return out_LD


@pytest.mark.usefixtures("visible_dropout")
@pytest.mark.parametrize("training", [False, True])
def test_states_are_normalised_items_after_blocks_of_a_unit_and_a_network(
    assert_states: Callable[..., None], stir: Callable[[nn.Module], None], training: bool
) -> None:
    torch.manual_seed(0)
    model = Lru(Items(12, DIM), DIM, layers=2, dropout=0.3, embedding_dropout=0.5)
    stir(model)
    drop, drop_embedded = Dropout(0.3).train(training), Dropout(0.5).train(training)

    def reference(x_LD: Tensor, _row: int) -> Tensor:
        assert isinstance(model.encoder, LruEncoder)
        x_LD = model.encoder.norm(drop_embedded(x_LD))
        for block in model.encoder.blocks:
            assert isinstance(block, LruBlock)
            x_LD = after_block(block, x_LD, drop)
        return x_LD[-1]

    assert_states(model, reference, training)


def test_an_early_event_is_seen_from_afar() -> None:
    torch.manual_seed(0)
    block = LruBlock(8, 0.0).eval()
    x = torch.randn(1, 200, 8)
    changed = x.clone()
    changed[0, 0] += 1
    with torch.no_grad():
        far = (block(x) - block(changed)).abs().amax(dim=2)[0]
    assert far[150] > 0
    assert far[5] > 2 * far[150]
