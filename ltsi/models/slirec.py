"""SLi-Rec: what a user always liked and what the user is after now, weighed by a gate that sees how long ago now was.

Shape suffixes: B histories, L positions, D width, H width of the LSTM's state.
Source: Yu et al. 2019, "Adaptive User Modeling with Long and Short-Term Preferences for Personalized Recommendation"
(SLi-Rec).

Departures:
- Its attention and its gate see the item that is scored. Here one state is compared with the whole catalogue, so the
  last output of the LSTM asks in that item's place, and the gate goes by the two views and the wait.
- The LSTM reads the last events, not all: its gate by the span to the answer makes every event another one for each
  answer, so it is run afresh at each position.
- The published code takes the logarithm of gaps in days, none of them shorter than half a day. Here it is that of
  seconds, no gap is too short or too long, and mean and spread of the training gaps are taken out.
- Both views and their mixture are normalised, the short one after a projection to the width of the items. The gate has
  one hidden layer, where the code has two.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ltsi.histories import Histories
from ltsi.models.items import Items
from ltsi.models.layers import Dropout
from ltsi.models.network import Encoder, SequenceNetwork
from ltsi.models.pair_score import PairScore
from ltsi.models.scan import running_attention
from ltsi.models.time_lstm import TimeLstmLayer
from ltsi.models.times import LogGap
from ltsi.models.views import LastEvents, Windowed
from ltsi.sequences.split import Split


class SpanLstmEncoder(Encoder):
    """LSTM with gates by the gap before each event and by the span from it to the answer; attention over its outputs.

    An event is seen as of the answer at the end, so the state at the end is the only one. It is run in windows
    (`ltsi.models.views.Windowed`), where no other position looks.

    Args:
        dim: width D of the item vectors.
        hidden: width H of the state.
        dropout: dropout on the LSTM's outputs.
        log_gap: the scale of gaps and spans.
    """

    compiles = False

    def __init__(self, dim: int, hidden: int, dropout: float, log_gap: LogGap) -> None:
        super().__init__()
        self.log_gap = log_gap
        self.layer = TimeLstmLayer(dim, hidden, spans=True)
        self.dropout = Dropout(dropout)
        self.score = PairScore(hidden, hidden)
        self.out = nn.Linear(hidden, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x_BLD: Tensor, histories: Histories) -> Tensor:
        """Encodes histories, `(B, L, D)`: the state at the end, at every position; see `Encoder.forward`."""
        log_gap_BL = self.log_gap(histories.time_BL)
        log_span_BL = self.log_gap.scaled(histories.now_B[:, None] - histories.time_BL)
        output_BLH = self.dropout(self.layer(x_BLD, log_gap_BL, log_span_BL))
        logit_BL = self.score(output_BLH, histories.last(output_BLH)).masked_fill(~histories.real_BL(), -torch.inf)
        attended_BH = (logit_BL.softmax(dim=1)[:, None] @ output_BLH).squeeze(1)
        state_BD: Tensor = self.norm(self.out(attended_BH))
        return state_BD[:, None].expand_as(x_BLD)


class SliRec(SequenceNetwork):
    """`α · long + (1 − α) · short`, with `α` between zero and one from both views and the time since the last event.

    The long view is attention over all items of the history by one learned query, the same for everybody; the short one
    is `SpanLstmEncoder` over the last events.

    Args:
        items: the catalogue as vectors.
        dim: width D of the item vectors.
        hidden: width of the LSTM's state.
        short_length: events of the short view.
        dropout: dropout on the LSTM's outputs.
        embedding_dropout: dropout on the embedded history.
    """

    def __init__(
        self, items: Items, dim: int, hidden: int, short_length: int, dropout: float, embedding_dropout: float
    ) -> None:
        super().__init__(items, embedding_dropout)
        self.log_gap = LogGap()
        self.long_score = nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, 1, bias=False))
        self.long_norm, self.norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        short = SpanLstmEncoder(dim, hidden, dropout, self.log_gap)
        self.short = Windowed(short, LastEvents(short_length), short_length)
        self.gate = nn.Sequential(nn.Linear(2 * dim + 1, dim), nn.ReLU(), nn.Linear(dim, 1))

    def fit_statistics(self, split: Split) -> None:
        """Finds the scale of the gaps, too; see `InterestModel.fit_statistics`."""
        split.store.require_clock("model=slirec")
        super().fit_statistics(split)
        self.log_gap.fit_statistics(split)

    def states(self, histories: Histories) -> Tensor:
        """Encodes histories, `(B, L, D)`; see `SequenceNetwork.states`.

        Each position looks at the time it is asked at, and no position at another one's state.
        """
        x_BLD = self.embedding_dropout(self.items(histories.item_BL))
        scale = self.items.dim**0.5
        # Item vectors have a norm of about one, views one of √D.
        logit_BL = self.long_score(scale * x_BLD).squeeze(2)
        long_BLD = self.long_norm(running_attention(logit_BL, scale * x_BLD))
        short_BLD = self.short(x_BLD, histories)
        log_wait_BL = self.log_gap.scaled(histories.now_BL - histories.time_BL)
        share_BL1 = torch.sigmoid(self.gate(torch.cat([long_BLD, short_BLD, log_wait_BL[..., None]], dim=2)))
        state_BLD: Tensor = self.norm(share_BL1 * long_BLD + (1 - share_BL1) * short_BLD)
        return state_BLD
