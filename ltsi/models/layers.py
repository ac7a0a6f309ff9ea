"""Layers that several models share.

Shape suffixes: B histories, L positions, D width, H heads, K width of a head.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from ltsi.models.banded import banded_attention

_thread = threading.local()


@contextmanager
def drawing_from(seed: int) -> Iterator[None]:
    """Lets `Dropout` draw from a generator of its own, in this thread and on the CPU: threads share torch's.

    Args:
        seed: fixes the draws.
    """
    _thread.generator = torch.Generator().manual_seed(seed)
    try:
        yield
    finally:
        _thread.generator = None


@contextmanager
def sparse_gradients() -> Iterator[None]:
    """Lets `looked_up` keep the gradients of tables sparse in this thread, for whoever adds them up."""
    _thread.sparse = True
    try:
        yield
    finally:
        _thread.sparse = False


def looked_up(row_X: Tensor, table: Tensor, padding: int, sparse: bool = False) -> Tensor:
    """Looks up rows of a table, `(..., D)`; its gradient fills the whole table with zeros, unless it is sparse.

    Args:
        row_X: int64.
        table: one vector a row.
        padding: a row that gets no gradient.
        sparse: whether the gradient is; it also is inside `sparse_gradients`.
    """
    return functional.embedding(row_X, table, padding, sparse=sparse or getattr(_thread, "sparse", False))


class Dropout(nn.Module):
    """Dropout whose mask costs one random byte an element on a CPU, where torch's own draws a double for each.

    The probability is rounded to the next 1/256 and the scale follows it, so the expectation is exact.

    Source: Srivastava et al. 2014, "Dropout: A Simple Way to Prevent Neural Networks from Overfitting".

    Args:
        p: probability of an element to become zero.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"dropout={p} must be at least 0 and below 1")
        self.p = p
        self.zeroed_of_256 = min(round(p * 256), 255)

    def forward(self, x: Tensor) -> Tensor:
        """Zeroes elements at random while training; any shape."""
        if not self.training or not self.zeroed_of_256:
            return x
        if x.device.type != "cpu":
            return functional.dropout(x, self.p)
        words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64)
        words.random_(-(2**63), None, generator=getattr(_thread, "generator", None))
        byte = words.view(torch.uint8)[: x.numel()].view(x.shape)
        kept = torch.ge(byte, self.zeroed_of_256, out=torch.empty(x.shape, dtype=x.dtype))
        return x * kept.mul_(256 / (256 - self.zeroed_of_256))


class CausalAttention(nn.Module):
    """Multi-head self-attention in which a position sees itself and the past.

    Source: Vaswani et al. 2017, "Attention Is All You Need", eq. 1: softmax(Q Kᵀ / √d) V.

    Args:
        dim: width D.
        heads: number of heads; divides `dim`.
        dropout: dropout on the attention weights.
        rotary: whether queries and keys are turned by their position; see `turned`.
        plain: three matrices are all there is: no biases, and what the heads found is not projected.
    """

    def __init__(self, dim: int, heads: int, dropout: float, rotary: bool = False, plain: bool = False) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"heads={heads} must divide dim={dim}")
        if rotary and dim // heads % 2:
            raise ValueError(f"rotary positions turn pairs of numbers: dim={dim} / heads={heads} must be even")
        self.heads, self.rotary = heads, rotary
        self.qkv = nn.Linear(dim, 3 * dim, bias=not plain)
        self.out: nn.Module = nn.Identity() if plain else nn.Linear(dim, dim)
        self.dropout = Dropout(dropout)

    def forward(
        self, x_BLD: Tensor, blocked: Tensor | None = None, bias_BHLL: Tensor | None = None, band: int | None = None
    ) -> Tensor:
        """Attends.

        Args:
            x_BLD: what attends to itself.
            blocked: which positions (columns) each position (row) does not see, bool, `(B, 1, L, L)` or what can be
                expanded to it; None: later ones.
            bias_BHLL: added to the logits; a blocked position stays blocked.
            band: a position sees so many events and nothing else, whatever the other two say; see `banded_attention`.

        Returns:
            The attended values, `(B, L, D)`.
        """
        batch, length, dim = x_BLD.shape
        q_BHLK, k_BHLK, v_BHLK = self.qkv(x_BLD).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if self.rotary:
            q_BHLK, k_BHLK = turned(q_BHLK), turned(k_BHLK)
        if band is not None:
            mixed_BHLK = banded_attention(q_BHLK, k_BHLK, v_BHLK, band, self.dropout)
        elif self.training and self.dropout.p and x_BLD.device.type == "cpu":
            # What torch does there too, but with the dropout of this file.
            logit_BHLL = (q_BHLK * q_BHLK.shape[3] ** -0.5) @ k_BHLK.transpose(2, 3)
            if bias_BHLL is not None:
                logit_BHLL = logit_BHLL + bias_BHLL
            blocked = later(length, x_BLD.device) if blocked is None else blocked
            weight_BHLL = self.dropout(logit_BHLL.masked_fill(blocked, -torch.inf).softmax(dim=3))
            mixed_BHLK = weight_BHLL @ v_BHLK
        else:
            mixed_BHLK = functional.scaled_dot_product_attention(
                q_BHLK,
                k_BHLK,
                v_BHLK,
                attn_mask=_mask(q_BHLK, blocked, bias_BHLL),
                dropout_p=self.dropout.p if self.training else 0.0,
                is_causal=blocked is None and bias_BHLL is None,
            )
        out_BLD: Tensor = self.out(mixed_BHLK.transpose(1, 2).reshape(batch, length, dim))
        return out_BLD


def _mask(q_BHLK: Tensor, blocked: Tensor | None, bias_BHLL: Tensor | None) -> Tensor | None:
    """Returns what torch's attention takes: None (it is causal), where it may look, or what it adds to logits."""
    if bias_BHLL is None:
        return None if blocked is None else ~blocked
    blocked = later(q_BHLK.shape[2], q_BHLK.device) if blocked is None else blocked
    return bias_BHLL.masked_fill(blocked, -torch.inf).to(q_BHLK.dtype)


def later(length: int, device: torch.device) -> Tensor:
    """Returns which positions (columns) come after each position (row), bool `(L, L)`."""
    return torch.ones(length, length, dtype=torch.bool, device=device).triu(1)


def outside(first_BL: Tensor) -> Tensor:
    """Returns which positions (columns) each position (row) does not see, bool `(B, 1, L, L)`: early ones, later ones.

    Args:
        first_BL: the first position that each sees.
    """
    place_L = torch.arange(first_BL.shape[1], device=first_BL.device)
    return ((place_L < first_BL[..., None]) | (place_L > place_L[:, None]))[:, None]


def turned(x_BHLK: Tensor, base: float = 10_000.0) -> Tensor:
    """Turns pairs of numbers by angles that grow with the position: products then depend on the distance alone.

    Source: Su et al. 2021, "RoFormer: Enhanced Transformer with Rotary Position Embedding", eq. 15, with the pairs of
    number `j` and `j + K/2`.

    Args:
        x_BHLK: queries or keys; K is even.
        base: angles of the pairs fall geometrically from 1 to about 1 / base a position.
    """
    length, half = x_BHLK.shape[2], x_BHLK.shape[3] // 2
    rate_h = base ** (-torch.arange(half, device=x_BHLK.device) / half)
    angle_Lh = torch.arange(length, device=x_BHLK.device)[:, None] * rate_h
    cos_Lh, sin_Lh = angle_Lh.cos().to(x_BHLK.dtype), angle_Lh.sin().to(x_BHLK.dtype)
    one, other = x_BHLK[..., :half], x_BHLK[..., half:]
    return torch.cat([one * cos_Lh - other * sin_Lh, one * sin_Lh + other * cos_Lh], dim=3)


def two_layers(dim: int, hidden: int, activation: nn.Module, dropout: float) -> nn.Sequential:
    """Returns the network that follows attention in a block, `D -> hidden -> D`, with dropout inside and after it."""
    return nn.Sequential(nn.Linear(dim, hidden), activation, Dropout(dropout), nn.Linear(hidden, dim), Dropout(dropout))


class TransformerBlock(nn.Module):
    """Pre-norm Transformer block: attention, then a two-layer network, each beside a residual path.

    Source: Xiong et al. 2020, "On Layer Normalization in the Transformer Architecture".

    Args:
        dim: width D.
        heads: number of attention heads.
        dropout: dropout after attention, inside and after the two-layer network.
        rotary: see `CausalAttention`.
    """

    def __init__(self, dim: int, heads: int, dropout: float, rotary: bool = False) -> None:
        super().__init__()
        self.attention_norm, self.network_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = CausalAttention(dim, heads, dropout, rotary)
        self.network = two_layers(dim, 4 * dim, nn.GELU(), dropout)
        self.dropout = Dropout(dropout)

    def forward(
        self, x_BLD: Tensor, blocked: Tensor | None = None, bias_BHLL: Tensor | None = None, band: int | None = None
    ) -> Tensor:
        """Returns the next layer's input, `(B, L, D)`; see `CausalAttention.forward`."""
        x_BLD = x_BLD + self.dropout(self.attention(self.attention_norm(x_BLD), blocked, bias_BHLL, band))
        out_BLD: Tensor = x_BLD + self.network(self.network_norm(x_BLD))
        return out_BLD
