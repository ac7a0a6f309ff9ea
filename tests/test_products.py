from typing import Any

import pytest
import torch

from ltsi import products
from ltsi.products import wide_products

CPU = torch.device("cpu")


def precision() -> Any:
    backend: Any = torch.backends.mkldnn
    return backend.matmul.fp32_precision


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_onednn_is_wider", lambda: True)


def test_products_inside_are_those_of_single_precision() -> None:
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(128, 64, generator=generator), torch.randn(64, 5000, generator=generator)
    exact = left.double() @ right.double()
    with wide_products(CPU):
        found = left @ right
    assert (found - exact).abs().max() < 2e-5  # bfloat16 is wrong by 0.1 here


def test_whether_products_round_is_not_asked_of_the_mixed_precision_of_a_model() -> None:
    alone = products._is_exact()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert products._is_exact() == alone
        left, right = torch.full((32, 64), 1 + 2**-12), torch.full((64, 4096), 1 + 2**-12)
        assert (left @ right).dtype == torch.bfloat16, "here products are mixed"


def test_the_choice_ends_with_the_block_even_if_it_fails(chosen: None) -> None:
    before = precision()

    def fail() -> None:
        with wide_products(CPU):
            assert precision() == "bf16"
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail()
    assert precision() == before


def test_other_devices_are_left_alone(chosen: None) -> None:
    before = precision()
    with wide_products(torch.device("meta")):
        assert precision() == before


@pytest.mark.parametrize(
    ("processor", "rounds", "wider"),
    [
        ({"cpu_name": "AMD EPYC", "avx512_f": True, "amx_tile": False}, False, True),
        ({"cpu_name": "AMD EPYC", "avx512_f": True, "amx_tile": False}, True, False),
        ({"cpu_name": "AMD EPYC", "avx512_f": True, "amx_tile": True}, False, False),
        ({"cpu_name": "AMD EPYC", "avx512_f": False}, False, False),
        ({"cpu_name": "Intel(R) Xeon(R)", "avx512_f": True}, False, False),
        ({}, False, False),
    ],
)
def test_only_processors_by_amd_with_avx512_and_without_rounding_change(
    monkeypatch: pytest.MonkeyPatch, processor: dict[str, object], rounds: bool, wider: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: processor)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    if rounds:
        multiply = torch.Tensor.__matmul__
        monkeypatch.setattr(
            torch.Tensor, "__matmul__", lambda a, b: multiply(a.bfloat16().float(), b.bfloat16().float())
        )
    assert products._onednn_is_wider.__wrapped__() is wider
