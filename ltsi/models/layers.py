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
        kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= self.zeroed_of_256
        return x * kept.to(x.dtype).mul_(256 / (256 - self.zeroed_of_256))


class CausalAttention(nn.Module):
    """Multi-head self-attention in which a position sees itself and the past.

    Source: Vaswani et al. 2017, "Attention Is All You Need", eq. 1: softmax(Q Kᵀ / √d) V.

    Args:
        dim: width D.
        heads: number of heads; divides `dim`.
        dropout: dropout on the attention weights.
        window: how many positions a position sees, itself included; None: all of the past.
    """

    def __init__(self, dim: int, heads: int, dropout: float, window: int | None = None) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"heads={heads} must divide dim={dim}")
        self.heads, self.window = heads, window
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.dropout = Dropout(dropout)

    def forward(self, x_BLD: Tensor) -> Tensor:
        """Returns the attended values, `(B, L, D)`."""
        batch, length, dim = x_BLD.shape
        q_BHLK, k_BHLK, v_BHLK = self.qkv(x_BLD).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mask_LL = None
        if self.window is not None and self.window < length:
            mask_LL = ~_blocked(length, self.window, x_BLD.device)
        if self.training and self.dropout.p and x_BLD.device.type == "cpu":
            # What torch does there too, but with the dropout of this file.
            blocked_LL = _blocked(length, self.window, x_BLD.device)
            logit_BHLL = (q_BHLK * q_BHLK.shape[3] ** -0.5) @ k_BHLK.transpose(2, 3)
            weight_BHLL = self.dropout(logit_BHLL.masked_fill(blocked_LL, -torch.inf).softmax(dim=3))
            mixed_BHLK = weight_BHLL @ v_BHLK
        else:
            mixed_BHLK = functional.scaled_dot_product_attention(
                q_BHLK,
                k_BHLK,
                v_BHLK,
                attn_mask=mask_LL,
                dropout_p=self.dropout.p if self.training else 0.0,
                is_causal=mask_LL is None,
            )
        out_BLD: Tensor = self.out(mixed_BHLK.transpose(1, 2).reshape(batch, length, dim))
        return out_BLD


def _blocked(length: int, window: int | None, device: torch.device) -> Tensor:
    """Returns which positions (columns) each position (row) does not see, bool `(L, L)`: later ones, too early ones."""
    everything_LL = torch.ones(length, length, dtype=torch.bool, device=device)
    later_LL = everything_LL.triu(1)
    return later_LL if window is None else later_LL | everything_LL.tril(-window)


class TransformerBlock(nn.Module):
    """Pre-norm Transformer block: attention, then a two-layer network, each beside a residual path.

    Source: Xiong et al. 2020, "On Layer Normalization in the Transformer Architecture".

    Args:
        dim: width D.
        heads: number of attention heads.
        dropout: dropout after attention, inside and after the two-layer network.
        window: see `CausalAttention`.
    """

    def __init__(self, dim: int, heads: int, dropout: float, window: int | None = None) -> None:
        super().__init__()
        self.attention_norm, self.network_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = CausalAttention(dim, heads, dropout, window)
        self.network = nn.Sequential(
            nn.Linear(dim, 4 * dim), nn.GELU(), Dropout(dropout), nn.Linear(4 * dim, dim), Dropout(dropout)
        )
        self.dropout = Dropout(dropout)

    def forward(self, x_BLD: Tensor) -> Tensor:
        """Returns the next layer's input, `(B, L, D)`."""
        x_BLD = x_BLD + self.dropout(self.attention(self.attention_norm(x_BLD)))
        out_BLD: Tensor = x_BLD + self.network(self.network_norm(x_BLD))
        return out_BLD
