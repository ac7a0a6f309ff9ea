import pytest
import torch

from ltsi.models.additive import additive_weights


@pytest.mark.parametrize("block", [1, 200, 10**6])
def test_weights_and_gradients_are_those_of_the_formula(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In blocks of one position, of some, and of all."""
    monkeypatch.setattr("ltsi.models.additive.BLOCK", block)
    torch.manual_seed(0)
    leaves = [torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((2, 7, 4), (2, 7, 4), (4,))]
    query_BLH, key_BLH, weight_H = leaves
    ours = additive_weights(query_BLH, key_BLH, weight_H)
    theirs = ((query_BLH[:, :, None] + key_BLH[:, None]).sigmoid() @ weight_H).tril()
    torch.testing.assert_close(ours, theirs)
    grad_BLL = torch.randn(2, 7, 7, dtype=torch.float64)
    for one, other in zip(
        torch.autograd.grad(ours, leaves, grad_BLL), torch.autograd.grad(theirs, leaves, grad_BLL), strict=True
    ):
        torch.testing.assert_close(one, other)
