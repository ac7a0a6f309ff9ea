"""What the paper says of BSARec, at the last place of a history padded at the front."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ltsi.models.bsarec import Bsarec, BsarecBlock, FrequencyFilter, low_pass
from ltsi.models.items import Items
from ltsi.models.layers import Dropout

DIM = 4


def low_at_the_end(x_LD: Tensor, n: int, cutoff: int) -> Tensor:
    """Transform, cut, and transform back, as the paper does; the answer at the last place."""
    padded_ND = torch.cat([x_LD.new_zeros(n - len(x_LD), x_LD.shape[1]), x_LD])
    spectrum_FD = torch.fft.rfft(padded_ND, dim=0)
    spectrum_FD[cutoff // 2 + 1 :] = 0
    low_ND: Tensor = torch.fft.irfft(spectrum_FD, n=n, dim=0)
    return low_ND[-1]


@pytest.mark.parametrize("n", [1, 2, 9, 10])
@pytest.mark.parametrize("cutoff", [1, 2, 3, 5, 9, 10, 50])
def test_a_position_gets_what_the_fourier_transform_gives_the_end_of_its_history(n: int, cutoff: int) -> None:
    torch.manual_seed(0)
    x_LD = torch.randn(n, DIM)
    expected = torch.stack([low_at_the_end(x_LD[: t + 1], n, cutoff) for t in range(n)])
    torch.testing.assert_close(low_pass(n, cutoff) @ x_LD, expected, rtol=1e-4, atol=1e-5)


def test_all_frequencies_are_the_history_itself_and_the_lowest_is_its_sum() -> None:
    torch.testing.assert_close(low_pass(8, 8), torch.eye(8), rtol=0, atol=1e-6)
    torch.testing.assert_close(low_pass(8, 1), torch.ones(8, 8).tril() / 8)


def filtered(part: FrequencyFilter, x_LD: Tensor, n: int, cutoff: int, drop: Dropout) -> Tensor:
    low_LD = torch.stack([low_at_the_end(x_LD[: t + 1], n, cutoff) for t in range(len(x_LD))])
    high_LD = x_LD - low_LD
    out_LD: Tensor = part.norm(x_LD + drop(low_LD + part.root_of_beta_D**2 * high_LD))
    return out_LD


def networked(block: BsarecBlock, x_LD: Tensor, drop: Dropout) -> Tensor:
    first, last = (layer for layer in block.network if isinstance(layer, nn.Linear))
    inner_LH = functional.gelu(x_LD @ first.weight.T + first.bias)
    assert inner_LH.shape == (len(x_LD), 4 * DIM)
    out_LD: Tensor = block.network_norm(x_LD + drop(inner_LH @ last.weight.T + last.bias))
    return out_LD


@pytest.mark.usefixtures("visible_dropout")
@pytest.mark.parametrize("training", [False, True])
def test_states_are_those_of_the_paper_with_dropout_behind_every_part_and_none_inside_the_network(
    assert_states: Callable[..., None], stir: Callable[[nn.Module], None], training: bool
) -> None:
    torch.manual_seed(0)
    model = Bsarec(Items(12, DIM), 9, DIM, 2, 1, alpha=0.7, cutoff=3, dropout=0.5, embedding_dropout=0.25)
    stir(model)
    drop, drop_embedded = Dropout(0.5).train(training), Dropout(0.25).train(training)

    def reference(x_LD: Tensor, _row: int) -> Tensor:
        x_LD = drop_embedded(model.norm(x_LD + model.position.weight[: len(x_LD)]))
        for block in model.blocks:
            assert isinstance(block, BsarecBlock)
            q_LD, k_LD, v_LD = block.attention.qkv(x_LD).chunk(3, dim=1)
            logit_LL = q_LD @ k_LD.T / DIM**0.5
            logit_LL[torch.ones_like(logit_LL).triu(1).bool()] = -torch.inf
            attended_LD = drop(block.attention.out(drop(logit_LL.softmax(1)) @ v_LD))
            attended_LD = block.attention_norm(x_LD + attended_LD)
            x_LD = 0.7 * filtered(block.filter, x_LD, 9, 3, drop) + 0.3 * attended_LD
            x_LD = networked(block, x_LD, drop)
        return x_LD[-1]

    assert_states(model, reference, training)


def test_alpha_is_a_share_and_something_is_low() -> None:
    with pytest.raises(ValueError, match=r"alpha=1.5 must be from 0 to 1"):
        BsarecBlock(DIM, 1, 0.0, 9, 3, alpha=1.5)
    with pytest.raises(ValueError, match="cutoff=0 must be at least 1"):
        FrequencyFilter(DIM, 9, 0, 0.0)
