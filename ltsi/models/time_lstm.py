"""LSTM that knows how much time passes between events.

Shape suffixes: B histories, L positions, D width, H width of the state; `4H` and `3H` hold gates side by side.
Source: Yu et al. 2019, "Adaptive User Modeling with Long and Short-Term Preferences for Personalized Recommendation"
(SLi-Rec), the time-aware controller. Its gate by the time until the prediction needs every past position anew for each
position that is predicted, which `ltsi.models.slirec` affords for the last few; here that time meets the answer alone
(`ltsi.models.times.Wait`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ltsi.histories import Histories
from ltsi.models.items import Items
from ltsi.models.layers import Dropout
from ltsi.models.network import Encoder
from ltsi.models.one_view import OneView
from ltsi.models.times import LogGap
from ltsi.sequences.split import Split


class TimeGate(nn.Module):
    """A gate that sees an input and how much time passes: `T = σ(W x + V tanh(w log Δ + b_Δ) + b)`.

    It begins open: two gates on one memory that are half open would forget three quarters a step.

    Args:
        width: width of the inputs.
        hidden: width H of the state.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.time = nn.Linear(1, hidden)
        self.of_input, self.of_time = nn.Linear(width, hidden), nn.Linear(hidden, 2 * hidden, bias=False)
        with torch.no_grad():
            self.of_input.bias.add_(2)

    def forward(self, x_BLD: Tensor, log_time_BL: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the gate, and what the time adds to the output gate, `(B, L, H)` each."""
        time_BLH = torch.tanh(self.time(log_time_BL[..., None]))
        output_BLH, gate_BLH = self.of_time(time_BLH).split(self.hidden, dim=2)
        return torch.sigmoid(self.of_input(x_BLD) + gate_BLH), output_BLH


class TimeLstmLayer(nn.Module):
    """An LSTM layer with gates for time, on a logarithmic scale and without a bound.

    ```
    c_t = f_t ∘ T_t ∘ c_{t−1} + i_t ∘ S_t ∘ tanh(W_c x_t + U_c h_{t−1} + b_c)
    o_t = σ(W_o x_t + U_o h_{t−1} + V_o τ_t + V'_o τ'_t + b_o)
    h_t = o_t ∘ tanh(c_t)
    ```

    with `f` and `i` as in an LSTM; `T` is the gate by the gap before an event and `τ` what it sees of the gap, `S` and
    `τ'` are those by the span from the event to the answer, if there is one. See `TimeGate`.

    Args:
        width: width of the inputs.
        hidden: width H of the state.
        spans: whether there is a gate by the span to the answer.
    """

    def __init__(self, width: int, hidden: int, spans: bool = False) -> None:
        super().__init__()
        self.hidden = hidden
        self.of_input = nn.Linear(width, 4 * hidden)
        self.by_gap = TimeGate(width, hidden)
        self.by_span = TimeGate(width, hidden) if spans else None
        self.of_state = nn.Parameter(torch.empty(hidden, 4 * hidden))
        nn.init.uniform_(self.of_state, -(hidden**-0.5), hidden**-0.5)
        with torch.no_grad():
            self.of_input.bias[hidden : 2 * hidden].add_(1)

    def forward(self, x_BLD: Tensor, log_gap_BL: Tensor, log_span_BL: Tensor | None = None) -> Tensor:
        """Returns the outputs, `(B, L, H)`."""
        hidden = self.hidden
        keep_BLH, output_BLH = self.by_gap(x_BLD, log_gap_BL)
        admit_BLH = torch.ones_like(keep_BLH[:, :1]).expand_as(keep_BLH)
        if self.by_span is not None and log_span_BL is not None:
            admit_BLH, of_span_BLH = self.by_span(x_BLD, log_span_BL)
            output_BLH = output_BLH + of_span_BLH
        gate_BL4H = self.of_input(x_BLD)
        gate_BL4H[..., 2 * hidden : 3 * hidden] += output_BLH
        state_BH = cell_BH = keep_BLH.new_zeros(len(x_BLD), hidden)
        states = []
        # All that does not wait for the state before is done; what is left goes position by position.
        for gate_B4H, keep_BH, admit_BH in zip(gate_BL4H.unbind(1), keep_BLH.unbind(1), admit_BLH.unbind(1)):
            z_B4H = torch.addmm(gate_B4H, state_BH, self.of_state)
            input_BH, forget_BH, output_BH = torch.sigmoid(z_B4H[:, : 3 * hidden]).chunk(3, dim=1)
            cell_BH = forget_BH * keep_BH * cell_BH + input_BH * admit_BH * torch.tanh(z_B4H[:, 3 * hidden :])
            state_BH = output_BH * torch.tanh(cell_BH)
            states.append(state_BH)
        return torch.stack(states, dim=1)


class TimeLstmEncoder(Encoder):
    """Stacked time-aware LSTM layers: they see the gaps between events; the wait for the answer is `model.wait`.

    Args:
        dim: width D of the item vectors.
        hidden: width H of the state.
        layers: stacked layers.
        dropout: dropout between layers and on the output.
    """

    compiles = False

    def __init__(self, dim: int, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.log_gap = LogGap()
        self.layers = nn.ModuleList(TimeLstmLayer(hidden if i else dim, hidden) for i in range(layers))
        self.dropout = Dropout(dropout)
        self.out = nn.Linear(hidden, dim)
        self.norm = nn.LayerNorm(dim)

    def fit_statistics(self, split: Split) -> None:
        """Finds the scale of the gaps; see `Encoder.fit_statistics`."""
        split.store.require_clock("model=time_lstm")
        self.log_gap.fit_statistics(split)

    def forward(self, x_BLD: Tensor, histories: Histories) -> Tensor:
        """Encodes histories, `(B, L, D)`; see `Encoder.forward`."""
        log_gap_BL = self.log_gap(histories.time_BL)
        for layer in self.layers:
            x_BLD = self.dropout(layer(x_BLD, log_gap_BL))
        state_BLD: Tensor = self.norm(self.out(x_BLD))
        return state_BLD


class TimeLstm(OneView):
    """A time-aware LSTM as a model.

    Args:
        items: the catalogue as vectors.
        dim: width D of the item vectors.
        hidden: width of the state.
        layers: stacked layers.
        dropout: dropout between layers and on the output.
        embedding_dropout: dropout on the embedded history.
        wait: see `SequenceNetwork`.
    """

    def __init__(
        self,
        items: Items,
        dim: int,
        hidden: int,
        layers: int,
        dropout: float,
        embedding_dropout: float,
        wait: bool = True,
    ) -> None:
        super().__init__(items, TimeLstmEncoder(dim, hidden, layers, dropout), embedding_dropout, wait)
