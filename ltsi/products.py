"""Which library multiplies large matrices of single precision on a CPU.

torch has two. It takes MKL, which uses half the width of the vector units of processors by AMD with AVX-512. oneDNN
uses all of it, and torch takes oneDNN where rounding to bfloat16 is allowed. Such a processor has no product of
float32 that rounds (only AMX has), so oneDNN computes the same in single precision, in half the time. Whether it does
is looked at before, on a product that shows the rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch


@contextmanager
def wide_products(device: torch.device) -> Iterator[None]:
    """Multiplies large matrices with the whole width of the processor, in single precision, while it is open.

    It holds for the whole process, so nothing else may compute meanwhile. Small products are slower with oneDNN.

    Args:
        device: where the matrices lie; only a CPU has a choice.
    """
    if device.type != "cpu" or not _onednn_is_wider():
        yield
        return
    with _rounding_allowed():
        yield


@cache
def _onednn_is_wider() -> bool:
    if not (torch.backends.mkldnn.is_available() and hasattr(torch.backends.mkldnn, "matmul")):
        return False
    if not hasattr(torch.cpu, "get_capabilities"):
        return False
    found = torch.cpu.get_capabilities()
    named = str(found.get("cpu_name", ""))
    return named.startswith("AMD") and bool(found.get("avx512_f")) and not found.get("amx_tile") and _is_exact()


def _is_exact() -> bool:
    """Multiplies matrices of 1 + 2⁻¹², which float32 adds up to the last bits and bfloat16 takes for 1."""
    value, width = 1 + 2**-12, 64
    left, right = torch.full((32, width), value), torch.full((width, 4096), value)
    # Where a model asks for it, precision may be mixed by now: then this would be another product.
    with torch.autocast("cpu", enabled=False), _rounding_allowed():
        product = left @ right
    return bool((product.double() - width * value**2).abs().max() <= width * 2**-22)


@contextmanager
def _rounding_allowed() -> Iterator[None]:
    setting: Any = torch.backends.mkldnn
    before = setting.matmul.fp32_precision
    setting.matmul.fp32_precision = "bf16"
    try:
        yield
    finally:
        setting.matmul.fp32_precision = before
