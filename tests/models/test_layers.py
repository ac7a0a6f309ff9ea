from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from ltsi.models.layers import CausalAttention, Dropout, TransformerBlock, drawing_from, turned


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


def some_blocked(batch: int, length: int) -> Tensor:
    """Block the future, and of the past what differs from history to history; nobody loses sight of itself."""
    place_L = torch.arange(length)
    first_BL = torch.randint(0, length, (batch, length)).minimum(place_L)
    return ((place_L < first_BL[..., None]) | (place_L > place_L[:, None]))[:, None]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("viewed", [False, True])
def test_attention_is_the_formula(training: bool, biased: bool, viewed: bool) -> None:
    torch.manual_seed(0)
    batch, length, dim, heads = 2, 7, 8, 2
    # So little dropout is none, but takes the way of dropout.
    attention = CausalAttention(dim, heads, dropout=1e-9).train(training)
    x_BLD = torch.randn(batch, length, dim)
    blocked = some_blocked(batch, length) if viewed else None
    bias_BHLL = torch.randn(batch, heads, length, length) if biased else None
    q, k, v = attention.qkv(x_BLD).split(dim, dim=2)
    expected = torch.zeros(batch, length, dim)
    for row, head, position in product(range(batch), range(heads), range(length)):
        part = slice(head * dim // heads, (head + 1) * dim // heads)
        past = [p for p in range(position + 1) if blocked is None or not blocked[row, 0, position, p]]
        logit = k[row, past, part] @ q[row, position, part] / (dim / heads) ** 0.5
        if bias_BHLL is not None:
            logit = logit + bias_BHLL[row, head, position, past]
        expected[row, position, part] = logit.softmax(0) @ v[row, past, part]
    torch.testing.assert_close(attention(x_BLD, blocked, bias_BHLL), attention.out(expected))


@pytest.mark.parametrize("viewed", [False, True])
def test_attention_with_dropout_drops_weights_and_keeps_the_expectation(viewed: bool) -> None:
    torch.manual_seed(0)
    attention, x_BLD = CausalAttention(8, 2, dropout=0.25), torch.randn(1, 6, 8)
    blocked = some_blocked(1, 6) if viewed else None
    with torch.no_grad():
        # Histories in a batch are alike, and each draws weights of its own.
        drawn = attention.train()(x_BLD.expand(4000, -1, -1), blocked)
        expected = attention.eval()(x_BLD, blocked)
    assert len(drawn.unique(dim=0)) > 1
    torch.testing.assert_close(drawn.mean(0, keepdim=True), expected, rtol=0, atol=0.02)


def test_turned_vectors_keep_their_length_and_products_depend_on_the_distance_alone() -> None:
    torch.manual_seed(0)
    q_K, k_K = torch.randn(2, 8)
    q_LK, k_LK = (turned(x_K.expand(1, 1, 9, 8))[0, 0] for x_K in (q_K, k_K))
    torch.testing.assert_close(q_LK.norm(dim=1), q_K.norm().expand(9))
    product_LL = q_LK @ k_LK.T
    for distance in range(-8, 9):
        same = product_LL.diagonal(distance)
        torch.testing.assert_close(same, same[:1].expand_as(same))
    torch.testing.assert_close(product_LL[0, 0], q_K @ k_K)
    assert len(product_LL[0].unique()) == 9


def test_turning_is_a_rotation_of_pairs() -> None:
    """The pair (x_j, x_{j+2}) of four numbers, as complex numbers: turned by position times 1 and 1/100."""
    x_K = torch.tensor([1.0, 2.0, 3.0, 4.0])
    pairs_h = torch.complex(x_K[:2], x_K[2:])
    for position, row_K in enumerate(turned(x_K.expand(1, 1, 5, 4))[0, 0]):
        expected_h = pairs_h * torch.exp(1j * position * torch.tensor([1.0, 0.01]))
        torch.testing.assert_close(torch.complex(row_K[:2], row_K[2:]), expected_h)


def test_rotary_attention_needs_pairs() -> None:
    with pytest.raises(ValueError, match="dim=6 / heads=2 must be even"):
        CausalAttention(6, 2, 0.0, rotary=True)


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
