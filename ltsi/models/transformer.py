"""Transformer: attention to past events, over the whole history or what a view shows of it.

Shape suffixes: B histories, L positions, D width, H heads.
Sources: Kang & McAuley 2018, "Self-Attentive Sequential Recommendation" (SASRec); the full softmax instead of its one
sampled negative follows Klenitskiy & Vasilev 2023, "Turning Dross Into Gold Loss".
"""

from __future__ import annotations

from torch import Tensor, nn

from ltsi.histories import Histories
from ltsi.models.banded import worth_a_band
from ltsi.models.items import Items
from ltsi.models.layers import TransformerBlock, outside
from ltsi.models.one_view import OneView
from ltsi.models.positions import Positions
from ltsi.models.rates import AUTO
from ltsi.models.times import DecayBias, GapEmbedding
from ltsi.models.views import LastEvents, MaskedEncoder, View
from ltsi.sequences.split import Split

POSITIONS = ("learned", "rotary", "time_gap", "none")


class TransformerEncoder(MaskedEncoder):
    """Causal Transformer.

    Args:
        dim: width D.
        layers: number of blocks.
        heads: attention heads H in a block.
        dropout: dropout inside the blocks.
        max_length: longest history it is shown.
        positions: `learned`: a vector for each position, counted from the start of the history shown; `rotary`: queries
            and keys are turned by their position (`ltsi.models.layers.turned`); `time_gap`: as learned, with a vector
            for the gap to the event before (`ltsi.models.times`);
            `none`: order shows in nothing but what each event can attend to.
        decay_bias: whether attention fades with age, at rates that start from the log's own return decay
            (`ltsi.models.times.DecayBias`).
        decay: where these rates start: `auto`, or the folder of a decay-fit.
        view: what a position attends to in each block; None: all of the past.
    """

    def __init__(
        self,
        dim: int,
        layers: int,
        heads: int,
        dropout: float,
        max_length: int,
        positions: str = "learned",
        decay_bias: bool = False,
        decay: str = AUTO,
        view: View | None = None,
    ) -> None:
        super().__init__()
        if positions not in POSITIONS:
            raise ValueError(f"positions={positions} must be one of: {', '.join(POSITIONS)}")
        self.view = view
        self.position = Positions(max_length, dim) if positions in {"learned", "time_gap"} else None
        self.gap = GapEmbedding(dim) if positions == "time_gap" else None
        self.decay = DecayBias(heads, decay) if decay_bias else None
        self.blocks = nn.ModuleList(TransformerBlock(dim, heads, dropout, positions == "rotary") for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    @property
    def packs(self) -> bool:
        """Unless a view or a gap looks beyond the history of a position; see `SequenceNetwork.packs`."""
        return self.view is None and self.gap is None

    def fit_statistics(self, split: Split) -> None:
        """Starts the decay at that of the log; see `Encoder.fit_statistics`."""
        if self.view is not None:
            self.view.check(split)
        if self.gap is not None:
            split.store.require_clock("model.positions=time_gap")
        if self.decay is not None:
            self.decay.fit_statistics(split)

    def forward(self, x_BLD: Tensor, histories: Histories) -> Tensor:
        """Encodes histories, `(B, L, D)`; see `Encoder.forward`."""
        if self.position is not None:
            x_BLD = self.position(x_BLD, histories.first_BL)
        if self.gap is not None:
            x_BLD = x_BLD + self.gap(histories.time_BL)
        band = self._band(x_BLD.shape[1])
        blocked = self._blocked(histories) if band is None else None
        bias_BHLL = None if self.decay is None else self.decay(histories.time_BL)
        for block in self.blocks:
            x_BLD = block(x_BLD, blocked, bias_BHLL, band)
        state_BLD: Tensor = self.norm(x_BLD)
        return state_BLD

    def _blocked(self, histories: Histories) -> Tensor | None:
        if self.view is not None:
            return self.view.blocked(histories)
        return None if histories.first_BL is None else outside(histories.first_BL)

    def _band(self, length: int) -> int | None:
        """Returns how many events a position sees, where that many can be had without all pairs of positions."""
        if not isinstance(self.view, LastEvents) or self.decay is not None:
            return None
        return self.view.events if worth_a_band(length, self.view.events) else None


class Transformer(OneView):
    """A Transformer as a model.

    Args:
        items: the catalogue as vectors.
        max_length: longest history it is shown.
        dim: width D.
        layers: number of blocks.
        heads: attention heads in a block.
        dropout: dropout inside the blocks.
        embedding_dropout: dropout on the embedded history.
        window: positions a position attends to in each block, itself included; None: all of the past.
        positions: see `TransformerEncoder`.
        decay_bias: see `TransformerEncoder`.
        decay: see `TransformerEncoder`.
        wait: see `SequenceNetwork`.
    """

    def __init__(  # noqa: PLR0913 - the flat keys of its YAML
        self,
        items: Items,
        max_length: int,
        dim: int,
        layers: int,
        heads: int,
        dropout: float,
        embedding_dropout: float,
        window: int | None = None,
        positions: str = "learned",
        decay_bias: bool = False,
        decay: str = AUTO,
        wait: bool = False,
    ) -> None:
        view = None if window is None else LastEvents(window)
        encoder = TransformerEncoder(dim, layers, heads, dropout, max_length, positions, decay_bias, decay, view)
        super().__init__(items, encoder, embedding_dropout, wait)
