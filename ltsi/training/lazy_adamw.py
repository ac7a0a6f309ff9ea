"""AdamW for tables of millions of rows: a row is moved when it is looked at, and then by all that it missed.

Shape suffixes: I rows of a table, R some of them, D width, A different last steps of rows, K steps of coasting.
Sources: Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization" (AdamW). That a lookup of a few rows should
not pay for the whole table is the idea of the lazy Adam of TensorFlow Addons, which drops what a row misses; here
nothing is dropped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW

STOPPED = 1e-12
"""What is left of the momentum when it no longer carries a row on: 262 steps without a gradient, for β1 = 0.9."""

ROWS = 2**17
"""Rows of a table that are settled at a time."""


class LazyAdamW(AdamW):
    """AdamW whose step costs what it looks at, where gradients of tables are sparse; dense ones it treats like AdamW.

    In AdamW a row without a gradient moves on: its momentum carries it, ever more slowly, and weight decay shrinks it.
    After steps `a + 1 … b` without one,

        w_b = d^(b−a) · w_a − m_a / (√v_a + ε') · Σ_s lr · r^(s−a) · √(1 − β2^s) / (1 − β1^s) · d^(b−s)

    with `d = 1 − lr · weight_decay` and `r = β1 / √β2`; both moments have shrunk by their powers. That is what AdamW
    does, but that ε', the mean of ε · √(1 − β2^s) over what is summed, stands for each of these (where gradients are so
    small that ε matters, a few percent of such a movement), and as long as the learning rate stays what it is.
    `settle` brings rows up to date, and must be called before they are looked up.

    Args:
        params: what is learned.
        lr: learning rate, constant.
        betas: how much of the moments a step keeps.
        eps: added to the root of the second moment.
        weight_decay: decoupled; a step takes `lr · weight_decay` of a weight.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Takes a step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        given = [(group, table, table.grad) for group, table in self._tables() if table.grad is not None]
        rows = [(group, table, grad.coalesce()) for group, table, grad in given if grad.is_sparse]
        whole = [table for _, table, grad in given if not grad.is_sparse and "last" in self.state[table]]
        for table in whole:
            self.settle(table)
        for _, table, _ in rows:
            table.grad = None
        super().step()
        for table in whole:
            self.state[table]["last"].fill_(float(self.state[table]["step"]))
        for group, table, grad in rows:
            self._step_rows(group, table, grad.indices()[0], grad.values())
        return loss

    def settle(self, table: Tensor, row_R: Tensor | None = None) -> None:
        """Brings rows up to date.

        Args:
            table: a parameter.
            row_R: int64, each row once; None: all.
        """
        if "last" not in self.state[table]:
            return
        group = next(group for group, each in self._tables() if each is table)
        stretches = torch.arange(len(table), device=table.device).split(ROWS) if row_R is None else [row_R]
        for stretch_R in stretches:
            self._settle(group, table, stretch_R)

    def settle_all(self) -> None:
        """Brings all rows of all tables up to date: before anybody reads them."""
        for _, table in self._tables():
            self.settle(table)

    @torch.no_grad()
    def clip(self, most: float) -> None:
        """Scales all gradients down so that their norm is `most` at most; 0: leaves them."""
        values = []
        for _, table in self._tables():
            if table.grad is not None and table.grad.is_sparse:
                table.grad = table.grad.coalesce()
                values.append(table.grad.values())
            elif table.grad is not None:
                values.append(table.grad)
        if most and values:
            norm = torch.stack([value.norm() for value in values]).norm()
            torch._foreach_mul_(values, (most / (norm + 1e-6)).clamp(max=1.0))

    def _tables(self) -> Iterator[tuple[dict[str, Any], Tensor]]:
        for group in self.param_groups:
            for table in group["params"]:
                yield group, table

    def _step_rows(self, group: dict[str, Any], table: Tensor, row_R: Tensor, grad_RD: Tensor) -> None:
        state = self.state[table]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(table), torch.zeros_like(table)
        if "last" not in state:
            # Steps as torch keeps them, and gives them back from a checkpoint; exact up to 16 million.
            state["last"] = torch.full((len(table),), float(state["step"]), dtype=torch.float32, device=table.device)
        self._settle(group, table, row_R)
        state["step"] += 1
        step, (beta1, beta2) = float(state["step"]), group["betas"]
        m_RD = state["exp_avg"][row_R].lerp_(grad_RD, 1 - beta1)
        v_RD = state["exp_avg_sq"][row_R].mul_(beta2).addcmul_(grad_RD, grad_RD, value=1 - beta2)
        root_RD = (v_RD / (1 - beta2**step)).sqrt_().add_(group["eps"])
        w_RD = table[row_R].mul_(1 - group["lr"] * group["weight_decay"])
        table[row_R] = w_RD.addcdiv_(m_RD, root_RD, value=-group["lr"] / (1 - beta1**step))
        state["exp_avg"][row_R], state["exp_avg_sq"][row_R], state["last"][row_R] = m_RD, v_RD, step

    @torch.no_grad()
    def _settle(self, group: dict[str, Any], table: Tensor, row_R: Tensor) -> None:
        state = self.state[table]
        step, last_R = float(state["step"]), state["last"][row_R]
        row_R, last_R = row_R[last_R < step], last_R[last_R < step]
        if not len(row_R):
            return
        beta1, beta2 = group["betas"]
        kept = 1 - group["lr"] * group["weight_decay"]
        last_A, of_R = last_R.double().unique(return_inverse=True)
        steps_K = torch.arange(1, coasting(beta1) + 1, dtype=torch.float64, device=table.device)
        step_AK = last_A[:, None] + steps_K
        root_AK = (1 - beta2**step_AK).sqrt()
        moved_AK = (beta1 / beta2**0.5) ** steps_K * root_AK / (1 - beta1**step_AK)
        moved_AK = moved_AK.where(step_AK <= step, 0.0)
        missed_A = step - last_A
        epsilon_A = group["eps"] * (moved_AK * root_AK).sum(1) / moved_AK.sum(1).clamp(min=1e-300)
        moved_A = group["lr"] * (moved_AK * kept ** (step - step_AK).clamp(min=0)).sum(1)

        def of_rows(value_A: Tensor) -> Tensor:
            return value_A.to(table.dtype)[of_R][:, None]

        m_RD, v_RD = state["exp_avg"][row_R], state["exp_avg_sq"][row_R]
        root_RD = v_RD.sqrt().add_(of_rows(epsilon_A)).clamp_(min=1e-30)
        w_RD = table[row_R].mul_(of_rows(kept**missed_A))
        table[row_R] = w_RD.sub_(root_RD.reciprocal_().mul_(m_RD).mul_(of_rows(moved_A)))
        state["exp_avg"][row_R] = m_RD.mul_(of_rows(beta1**missed_A))
        state["exp_avg_sq"][row_R] = v_RD.mul_(of_rows(beta2**missed_A))
        state["last"][row_R] = step


def coasting(beta1: float) -> int:
    """Returns after how many steps momentum no longer carries a row on."""
    return 1 if beta1 == 0 else math.ceil(math.log(STOPPED) / math.log(beta1))
