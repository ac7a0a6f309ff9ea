import pytest
import torch
from torch.nn import functional

from ltsi.models.layers import CausalAttention, Dropout, TransformerBlock, drawing_from


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_zeroes_its_share_and_keeps_the_expectation(p: float) -> None:
    torch.manual_seed(0)
    x = torch.ones(300, 1001, requires_grad=True)
    y = Dropout(p).train()(x)
    assert float((y == 0).float().mean()) == pytest.approx(p, abs=0.01)
    assert float(y.detach().mean()) == pytest.approx(1, abs=0.02)
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, y.detach()), "what is dropped gets no gradient"


def test_dropout_draws_anew_and_follows_the_seed() -> None:
    x, dropout = torch.ones(1000), Dropout(0.5).train()
    torch.manual_seed(1)
    first, second = dropout(x), dropout(x)
    torch.manual_seed(1)
    assert torch.equal(dropout(x), first)
    assert not torch.equal(first, second)


def test_dropout_can_draw_from_a_generator_of_its_own() -> None:
    x, dropout = torch.ones(1000), Dropout(0.5).train()
    torch.manual_seed(1)
    expected = dropout(x)
    torch.manual_seed(1)
    with drawing_from(2):
        first, second = dropout(x), dropout(x)
    with drawing_from(2):
        assert torch.equal(dropout(x), first)
    assert not torch.equal(first, second)
    assert torch.equal(dropout(x), expected), "torch's own generator was not touched"


@pytest.mark.parametrize("p", [0.0, 0.5])
def test_dropout_does_nothing_without_training_or_probability(p: float) -> None:
    x = torch.randn(10)
    assert torch.equal(Dropout(p).eval()(x), x)
    assert torch.equal(Dropout(0.0).train()(x), x)


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5])
def test_a_dropout_is_a_probability_below_one(p: float) -> None:
    with pytest.raises(ValueError, match=f"dropout={p} must be at least 0 and below 1"):
        Dropout(p)


@pytest.mark.parametrize("window", [None, 1, 3, 50])
def test_attention_is_the_formula(window: int | None) -> None:
    torch.manual_seed(0)
    batch, length, dim, heads = 2, 7, 8, 2
    attention = CausalAttention(dim, heads, dropout=0.0, window=window).eval()
    x_BLD = torch.randn(batch, length, dim)
    q, k, v = attention.qkv(x_BLD).split(dim, dim=2)
    expected = torch.zeros(batch, length, dim)
    for head in range(heads):
        part = slice(head * dim // heads, (head + 1) * dim // heads)
        for position in range(length):
            past = slice(max(0, position + 1 - (window or length)), position + 1)
            logit = torch.einsum("bk,blk->bl", q[:, position, part], k[:, past, part]) / (dim / heads) ** 0.5
            expected[:, position, part] = torch.einsum("bl,blk->bk", logit.softmax(1), v[:, past, part])
    torch.testing.assert_close(attention(x_BLD), attention.out(expected))


@pytest.mark.parametrize("window", [None, 3])
def test_attention_with_dropout_drops_weights_and_keeps_the_expectation(window: int | None) -> None:
    torch.manual_seed(0)
    attention, x_BLD = CausalAttention(8, 2, dropout=0.25, window=window), torch.randn(1, 6, 8)
    with torch.no_grad():
        drawn = torch.stack([attention.train()(x_BLD) for _ in range(4000)])
        expected = attention.eval()(x_BLD)
    assert len(drawn.unique(dim=0)) > 1
    torch.testing.assert_close(drawn.mean(0), expected, rtol=0, atol=0.02)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="heads=3 must divide dim=8"):
        CausalAttention(8, 3, 0.0)


def test_a_block_keeps_the_residual_path() -> None:
    """With all its outputs at zero a block passes its input on."""
    block = TransformerBlock(8, 2, 0.0).eval()
    for layer in (block.attention.out, block.network[3]):
        torch.nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
        torch.nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    x_BLD = torch.randn(2, 3, 8)
    assert torch.equal(block(x_BLD), x_BLD)


def test_a_block_is_pre_norm() -> None:
    torch.manual_seed(0)
    block, x_BLD = TransformerBlock(8, 2, 0.0).eval(), torch.randn(2, 3, 8)
    middle = x_BLD + block.attention(functional.layer_norm(x_BLD, (8,)))
    torch.testing.assert_close(block(x_BLD), middle + block.network(functional.layer_norm(middle, (8,))))
