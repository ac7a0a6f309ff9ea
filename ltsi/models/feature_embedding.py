"""Features of an example made one vector.

Shape suffixes: E examples, K columns of codes (categorical and crosses), N numbers, V numbers of all vectors, W width
of the result.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ltsi.features.encoded import FeatureBatch
from ltsi.features.encoder import KNOWN, Layout


class FeatureEmbedding(nn.Module):
    """Embeds codes, averages the embeddings of tags, and puts numbers and vectors beside them as they are.

    What is missing or was never met begins at zero: where training has none of it, it says nothing, and no random
    vector speaks for it later.

    Args:
        layout: the columns of the features.
        dim: width of an embedding.
    """

    def __init__(self, layout: Layout, dim: int) -> None:
        super().__init__()
        sizes = [*layout.categorical.values(), *layout.cross.values()]
        # All columns look up one table, each in rows of its own: one gather, not one a column.
        self.register_buffer("first_row", torch.tensor([0, *sizes]).cumsum(0)[:-1], persistent=False)
        self.codes = nn.Embedding(sum(sizes), dim)
        self.tags = nn.ModuleList(nn.EmbeddingBag(size, dim, mode="mean") for size in layout.tags.values())
        for table in (self.codes, *self.tags):
            nn.init.normal_(table.get_parameter("weight"), std=dim**-0.5)
        with torch.no_grad():
            for code in range(KNOWN):
                self.codes.weight[self.first_row + code] = 0.0
                for bag in self.tags:
                    bag.get_parameter("weight")[code] = 0.0
        self.width = dim * (len(sizes) + len(layout.tags)) + len(layout.numeric) + sum(layout.vector.values())

    first_row: Tensor

    def forward(self, features: FeatureBatch) -> Tensor:
        """Returns the vectors, `(E, W)`."""
        code_EK = torch.cat([features.categorical_BC, features.cross_BX], dim=1) + self.first_row
        parts = [self.codes(code_EK).flatten(1), features.numeric_BN, features.vector_BV]
        parts += [table(bags.code, bags.offset_B) for table, bags in zip(self.tags, features.tags, strict=True)]
        return torch.cat(parts, dim=1)
