"""LSTM that knows how much time passes between events.

Shape suffixes: B histories, L positions, D width, H width of the state; `4H` and `3H` hold gates side by side.
Source: Yu et al. 2019, "Adaptive User Modeling with Long and Short-Term Preferences for Personalized Recommendation"
(SLi-Rec), the time-aware controller. Its gate by the time until the prediction would need every past position anew for
each position that is predicted; here that time meets the answer alone (`ltsi.models.times.Wait`).
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


class TimeLstmLayer(nn.Module):
    """An LSTM layer with a gate for the gap `Δ` before each event, on a logarithmic scale and without a bound.

    ```
    δ_t = tanh(w_δ log Δ_t + b_δ)
    T_t = σ(W_T x_t + V_T δ_t + b_T)
    c_t = f_t ∘ T_t ∘ c_{t−1} + i_t ∘ tanh(W_c x_t + U_c h_{t−1} + b_c)
    o_t = σ(W_o x_t + U_o h_{t−1} + V_o δ_t + b_o)
    h_t = o_t ∘ tanh(c_t)
    ```

    with `f` and `i` as in an LSTM.

    Args:
        width: width of the inputs.
        hidden: width H of the state.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.gap = nn.Linear(1, hidden)
        self.of_input, self.keep = nn.Linear(width, 4 * hidden), nn.Linear(width, hidden)
        self.of_gap = nn.Linear(hidden, 2 * hidden, bias=False)
        self.of_state = nn.Parameter(torch.empty(hidden, 4 * hidden))
        nn.init.uniform_(self.of_state, -(hidden**-0.5), hidden**-0.5)
        with torch.no_grad():
            # Both gates that keep the memory begin open; two that are half open would forget three quarters a step.
            self.of_input.bias[hidden : 2 * hidden].add_(1)
            self.keep.bias.add_(2)

    def forward(self, x_BLD: Tensor, log_gap_BL: Tensor) -> Tensor:
        """Returns the outputs, `(B, L, H)`."""
        hidden = self.hidden
        gap_BLH = torch.tanh(self.gap(log_gap_BL[..., None]))
        output_BLH, time_BLH = self.of_gap(gap_BLH).split(hidden, dim=2)
        keep_BLH = torch.sigmoid(self.keep(x_BLD) + time_BLH)
        gate_BL4H = self.of_input(x_BLD)
        gate_BL4H[..., 2 * hidden : 3 * hidden] += output_BLH
        state_BH = cell_BH = keep_BLH.new_zeros(len(x_BLD), hidden)
        states = []
        # All that does not wait for the state before is done; what is left goes position by position.
        for gate_B4H, keep_BH in zip(gate_BL4H.unbind(1), keep_BLH.unbind(1)):
            z_B4H = torch.addmm(gate_B4H, state_BH, self.of_state)
            input_BH, forget_BH, output_BH = torch.sigmoid(z_B4H[:, : 3 * hidden]).chunk(3, dim=1)
            cell_BH = forget_BH * keep_BH * cell_BH + input_BH * torch.tanh(z_B4H[:, 3 * hidden :])
            state_BH = output_BH * torch.tanh(cell_BH)
            states.append(state_BH)
        return torch.stack(states, dim=1)


class TimeLstmEncoder(Encoder):
    """Stacked time-aware LSTM layers; the answer also sees how long ago the last event was.

    Args:
        dim: width D of the item vectors.
        hidden: width H of the state.
        layers: stacked layers.
        dropout: dropout between layers and on the output.
    """

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
