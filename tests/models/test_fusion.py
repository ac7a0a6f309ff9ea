import pytest
import torch
from torch import nn

from ltsi.models.fusion import Concat, Gate


@pytest.mark.parametrize("fusion", [Concat(4), Gate(4)])
@pytest.mark.parametrize("leading", [(), (3,), (2, 3)])
def test_two_views_become_one_of_the_same_width(fusion: nn.Module, leading: tuple[int, ...]) -> None:
    long_D, short_D = torch.randn(*leading, 4), torch.randn(*leading, 4)
    assert fusion(long_D, short_D).shape == (*leading, 4)


def test_concat_is_the_formula() -> None:
    fusion, long_D, short_D = Concat(4), torch.randn(4), torch.randn(4)
    weight, bias = fusion.dense.weight, fusion.dense.bias
    torch.testing.assert_close(fusion(long_D, short_D), weight[:, :4] @ long_D + weight[:, 4:] @ short_D + bias)


def test_a_gate_lies_between_its_views_and_opens_to_either() -> None:
    fusion, long_D, short_D = Gate(4), torch.zeros(4), torch.ones(4)
    assert ((fusion(long_D, short_D) > 0) & (fusion(long_D, short_D) < 1)).all()
    nn.init.zeros_(fusion.gate.weight)
    for bias, expected in ((100.0, long_D), (-100.0, short_D), (0.0, (long_D + short_D) / 2)):
        nn.init.constant_(fusion.gate.bias, bias)
        torch.testing.assert_close(fusion(long_D, short_D), expected)
