"""Facts of the paper on linear recurrent units."""

import torch

from ltsi.models.lru import FASTEST, SLOWEST, LinearRecurrentUnit, LruBlock


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
