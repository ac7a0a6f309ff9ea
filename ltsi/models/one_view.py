"""One encoder, one view of the user: what the single networks are made of.

Shape suffixes: B histories, L positions, D width.
"""

from __future__ import annotations

from torch import Tensor

from ltsi.histories import Histories
from ltsi.models.items import Items
from ltsi.models.network import Encoder, SequenceNetwork
from ltsi.sequences.split import Split


class OneView(SequenceNetwork):
    """The state of a single encoder is compared with the item vectors.

    Args:
        items: the catalogue as vectors.
        encoder: the view.
        embedding_dropout: dropout on the embedded history.
        wait: see `SequenceNetwork`.
    """

    def __init__(self, items: Items, encoder: Encoder, embedding_dropout: float, wait: bool = False) -> None:
        super().__init__(items, embedding_dropout, wait)
        self.encoder = encoder

    @property
    def packs(self) -> bool:
        """Whether its encoder does; see `SequenceNetwork.packs`."""
        return self.encoder.packs

    def fit_statistics(self, split: Split) -> None:
        """Lets the encoder count what it needs, too; see `Encoder.fit_statistics`."""
        super().fit_statistics(split)
        self.encoder.fit_statistics(split)

    def states(self, histories: Histories) -> Tensor:
        """Encodes histories, `(B, L, D)`; see `SequenceNetwork.states`."""
        x_BLD = self.embedding_dropout(self.items(histories.item_BL))
        state_BLD: Tensor = self.encoder(x_BLD, histories)
        return state_BLD
