import pytest
import torch
from torch import nn

from ltsi.models.fusion import Attention, Concat, Fusion, Gate, Recurrent, run_along

FUSIONS = [Concat(4), Gate(4), Attention(4), Recurrent(4), Recurrent(4, "scalar")]


@pytest.mark.parametrize("fusion", FUSIONS, ids=lambda fusion: type(fusion).__name__)
def test_two_views_become_one_of_the_same_width_and_nothing_looks_ahead(fusion: Fusion) -> None:
    torch.manual_seed(0)
    seen = torch.randn(3, 2, 6, 4, requires_grad=True)
    fused_BLD = fusion(*seen)
    assert fused_BLD.shape == (2, 6, 4)
    (gradient,) = torch.autograd.grad(fused_BLD[:, 2].sum(), seen)
    assert gradient[:, :, 3:].eq(0).all()
    assert gradient[:2, :, 2].ne(0).any(-1).all(), "each position uses both of its views"


def test_concat_is_the_formula() -> None:
    fusion, (long_D, short_D, x_D) = Concat(4), torch.randn(3, 4)
    weight, bias = fusion.dense.weight, fusion.dense.bias
    torch.testing.assert_close(fusion(long_D, short_D, x_D), weight[:, :4] @ long_D + weight[:, 4:] @ short_D + bias)


def test_a_gate_lies_between_its_views_and_opens_to_either() -> None:
    fusion, long_D, short_D, x_D = Gate(4), torch.zeros(4), torch.ones(4), torch.randn(4)
    assert ((fusion(long_D, short_D, x_D) > 0) & (fusion(long_D, short_D, x_D) < 1)).all()
    nn.init.zeros_(fusion.gate.weight)
    for bias, expected in ((100.0, long_D), (-100.0, short_D), (0.0, (long_D + short_D) / 2)):
        nn.init.constant_(fusion.gate.bias, bias)
        torch.testing.assert_close(fusion(long_D, short_D, x_D), expected)


def test_attention_over_views_listens_to_the_one_that_is_asked_for() -> None:
    fusion, long_D, short_D = Attention(2), torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    for layer in (fusion.query, fusion.key):
        nn.init.eye_(layer.weight)
    nn.init.zeros_(fusion.query.bias)
    for x_D, expected in (([99.0, 0.0], long_D), ([0.0, 99.0], short_D), ([0.0, 0.0], (long_D + short_D) / 2)):
        torch.testing.assert_close(fusion(long_D, short_D, torch.tensor(x_D)), expected)
    # By hand: logits √2 · 1 / √2 = 1 and 0.
    weight = torch.tensor([1.0, 0.0]).softmax(0)
    torch.testing.assert_close(fusion(long_D, short_D, torch.tensor([1.0, 0.0])), weight)


def test_recurrent_fusion_gives_the_worked_example() -> None:
    """W = 0.7, U_0 = 0, α S = 0.1 · 0.7, β V = 0.9 · 0.9, γ = 0.5; then once more from where it stands."""
    drive = torch.full((1, 2, 1), 0.1 * 0.7 + 0.9 * 0.9 + 0.5)
    first, second = run_along(torch.full((1, 2, 1), 0.7), drive).flatten().tolist()
    assert first == pytest.approx(0.80, abs=0.005)
    assert second == pytest.approx(torch.tensor(0.7 * first + 1.38).sigmoid().item())


@pytest.mark.parametrize("form", ["scalar", "vector"])
def test_recurrent_fusion_is_the_formula(form: str) -> None:
    torch.manual_seed(0)
    fusion, (long_LD, short_LD, x_LD) = Recurrent(4, form), torch.randn(3, 6, 4)
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.copy_(torch.randn_like(parameter))
    keep, immediate, long = fusion.keep, fusion.immediate, fusion.long
    fused_D, expected = torch.zeros(4), []
    for long_D, short_D, x_D in zip(long_LD, short_LD, x_LD, strict=True):
        # α and β are matrices or numbers.
        alpha_s, beta_v = (
            layer.weight @ part_D if isinstance(layer, nn.Linear) else layer.factor * part_D
            for layer, part_D in ((immediate, 2 * x_D), (long, long_D))
        )
        fused_D = torch.sigmoid(torch.sigmoid(keep(short_D)) * fused_D + alpha_s + beta_v + fusion.shift)
        expected.append(fusion.out(2 * fused_D - 1))
    torch.testing.assert_close(fusion(long_LD[None], short_LD[None], x_LD[None])[0], torch.stack(expected))
    assert keep(short_LD).shape == (6, 1 if form == "scalar" else 4)


@pytest.mark.parametrize("form", ["scalar", "vector"])
def test_recurrent_fusion_stays_bounded_with_finite_gradients_over_a_thousand_steps(form: str) -> None:
    torch.manual_seed(0)
    fusion, seen = Recurrent(4, form), (30 * torch.randn(3, 1, 1000, 4)).requires_grad_()
    fused_BLD = run_along(torch.sigmoid(fusion.keep(seen[1])), seen[0])
    assert ((fused_BLD >= 0) & (fused_BLD <= 1)).all()
    fusion(*seen).square().sum().backward()
    assert seen.grad is not None
    for gradient in (seen.grad, *(parameter.grad for parameter in fusion.parameters())):
        assert gradient is not None
        assert gradient.isfinite().all()
        assert gradient.ne(0).any()


def test_a_form_of_recurrence_is_one_of_two() -> None:
    with pytest.raises(ValueError, match="form=matrix must be one of: vector, scalar"):
        Recurrent(4, "matrix")
