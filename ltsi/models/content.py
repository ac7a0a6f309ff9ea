"""Items known by what they are: an id vector and a projection of the item's features, so that cold items have a vector.

Shape suffixes: B histories, L positions, I items, J items and padding, U different items of a batch, D model width,
C codes of all categorical features and tags, E entries of all bags, N numbers of all features.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ltsi.errors import DataError
from ltsi.features.declarations import Declarations, read_declarations
from ltsi.features.encoded import FeatureTable
from ltsi.features.encoder import Layout
from ltsi.features.space import FeatureSpace, training_counts
from ltsi.models.items import Items
from ltsi.models.layers import Dropout
from ltsi.sequences.split import Split


class ContentItems(Items):
    """An item's vector is its id vector plus the projection of its features; a cold item has the projection alone.

    The id vector of an item that no training event has is noise nobody has corrected: it never counts. While training,
    some items are treated as cold, anew in every batch, so that content learns to stand alone.

    Sources: Kula 2015, "Metadata Embeddings for User and Item Cold-start Recommendations" (the sum); Volkovs et al.
    2017, "DropoutNet: Addressing Cold Start in Recommender Systems" (the dropped ids).

    Args:
        n_items: size of the catalogue. Row `n_items` is padding.
        dim: width D.
        features: features of the items, as `features.item` in `ltsi.features`: `auto`, or kinds by name.
        id_dropout: probability of an item to be treated as cold in a training batch.
        options: those of `Items`; free vectors on the way out have the same content.
    """

    trained_J: Tensor

    def __init__(
        self, n_items: int, dim: int, features: str | Mapping[str, Any], id_dropout: float, **options: Any
    ) -> None:
        super().__init__(n_items, dim, **options)
        self.features = features
        self.id_dropout = Dropout(id_dropout)
        self.content = Content(n_items, dim)
        self.register_buffer("trained_J", torch.zeros(n_items + 1, dtype=torch.bool))

    def fit_statistics(self, split: Split) -> None:
        """Fits the features on the training part, and notes which items occur in it.

        Raises:
            DataError: the items have no features.
        """
        super().fit_statistics(split)
        declarations = read_declarations({"item": self.features}, split.store)
        if not declarations.item:
            raise DataError(
                f"Item vectors from content need features, and the items of store '{split.store.name}' have only "
                "their id; prepare it with more item columns, or use model/items=tied."
            )
        trained_J = np.append(training_counts(split)[1] > 0, False)
        self.trained_J = torch.from_numpy(trained_J).to(self.trained_J.device)
        self.content.fit(split, declarations, trained_J[:-1])

    @property
    def can_wait(self) -> bool:
        """Whether gradients of the vectors can be sparse: those of the ids come with those of the content."""
        return False

    def forward(self, item_BL: Tensor) -> Tensor:
        """Embeds items, `(B, L, D)`; padding is zero."""
        item_U, place_BL = item_BL.unique(return_inverse=True)
        id_UD = functional.embedding(item_U, self.embedding.weight) * self._known(item_U)
        embedded_BLD: Tensor = functional.embedding(place_BL, id_UD + self.content(item_U))
        return embedded_BLD

    def outputs(self, item_U: Tensor | None = None) -> Tensor:
        """Returns the vectors on the way out, before they are normalised, `(I, D)` or `(U, D)`; see `Items.outputs`."""
        asked_U = torch.arange(self.n_items, device=self.trained_J.device) if item_U is None else item_U
        content_UD = self.content(asked_U)
        if self.training:
            # That an item was never taken because it was not there says nothing about its features.
            content_UD = torch.where(self.trained_J[asked_U, None], content_UD, content_UD.detach())
        vector_UD: Tensor = super().outputs(item_U) * self._known(asked_U) + content_UD
        return vector_UD

    def biases(self, item_U: Tensor | None = None) -> Tensor | None:
        """Returns the bias of each item, if they have one; that of a cold item is zero. See `Items.biases`."""
        bias_U = super().biases(item_U)
        return None if bias_U is None else bias_U * self.trained_J[:-1][slice(None) if item_U is None else item_U]

    def _known(self, item_U: Tensor) -> Tensor:
        """Returns 1 where the id of an item counts, else 0, `(U, 1)`."""
        known_U1 = self.trained_J[item_U, None].to(self.embedding.weight.dtype)
        kept_U1: Tensor = self.id_dropout(known_U1)
        return kept_U1.sign()


class Content(nn.Module):
    """Projects the features of items to vectors: an embedding of each code and tag, a direction for each number.

    Tags of one feature are averaged, features are added up. Codes that no training item has stay at zero: nothing can
    be learned of them.

    Args:
        n_items: size of the catalogue. Row `n_items` is padding, whose content is zero.
        dim: width D.
    """

    code_E: Tensor
    weight_E: Tensor
    offset_J: Tensor
    number_JN: Tensor

    def __init__(self, n_items: int, dim: int) -> None:
        super().__init__()
        # What is fitted gives them their shapes.
        self.code_CD = nn.Parameter(torch.zeros(0, dim))
        self.number_ND = nn.Parameter(torch.zeros(0, dim))
        self.register_buffer("code_E", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("weight_E", torch.zeros(0))
        self.register_buffer("offset_J", torch.zeros(n_items + 2, dtype=torch.int64))
        self.register_buffer("number_JN", torch.zeros(n_items + 1, 0))

    def fit(self, split: Split, declarations: Declarations, trained_I: NDArray[np.bool_]) -> None:
        """Fits the features on the training part and encodes the whole catalogue.

        Args:
            split: says which events are for training.
            declarations: the features.
            trained_I: which items have a training event.
        """
        space = FeatureSpace.fit(split, declarations)
        table, layout, device = space.encode(split.store).item_table, space.item_layout, self.code_E.device
        item_E, code_E, weight_E, n_codes = _bags(table, layout, len(trained_I))
        number_IN = _numbers(table, layout, trained_I)
        self.code_E, self.weight_E = torch.from_numpy(code_E).to(device), torch.from_numpy(weight_E).to(device)
        # The last bag is that of padding, and empty.
        length_I = np.bincount(item_E, minlength=len(trained_I))
        self.offset_J = torch.from_numpy(np.cumsum([0, *length_I, 0])).to(device)
        self.number_JN = torch.cat([number_IN, number_IN.new_zeros(1, number_IN.shape[1])]).to(device)
        met_C = np.bincount(code_E[trained_I[item_E]], minlength=n_codes) > 0
        # Together the features begin about as long as an id vector.
        std = (len(declarations.item) * self.code_CD.shape[1]) ** -0.5
        for parameter, n in ((self.code_CD, n_codes), (self.number_ND, number_IN.shape[1])):
            parameter.data = std * torch.randn(n, parameter.shape[1], device=device)
        self.code_CD.data *= torch.from_numpy(met_C)[:, None].to(device)

    def forward(self, item_U: Tensor) -> Tensor:
        """Returns the content of items, `(U, D)`."""
        start_U = self.offset_J[item_U]
        length_U = self.offset_J[item_U + 1] - start_U
        offset_U = length_U.cumsum(0) - length_U
        within = torch.arange(int(length_U.sum()), device=item_U.device)
        entry = within + (start_U - offset_U).repeat_interleave(length_U)
        code_UD = functional.embedding_bag(
            self.code_E[entry],
            self.code_CD,
            offset_U,
            mode="sum",
            per_sample_weights=self.weight_E[entry].to(self.code_CD.dtype),
        )
        return code_UD + self.number_JN[item_U] @ self.number_ND

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # A freshly built model cannot know the shapes that the training data gave.
        for name, tensor in (*self.named_buffers(), *self.named_parameters()):
            stored = state_dict.get(prefix + name)
            if stored is not None and tensor.shape != stored.shape:
                tensor.data = torch.empty_like(stored, device=tensor.device)
        super()._load_from_state_dict(state_dict, prefix, *args)


def _bags(
    table: FeatureTable, layout: Layout, n_items: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32], int]:
    """Lists the codes of each item over all features: item, code and weight of each entry, in the order of the items.

    Features have ranges of codes of their own, one after another; the number of codes comes last.
    """
    items, codes, weights, base = [], [], [], 0
    for offset_J, code_E, size in _coded(table, layout, n_items):
        length_I = np.diff(offset_J)
        items.append(np.repeat(np.arange(n_items), length_I))
        codes.append(base + code_E)
        weights.append(np.repeat(1 / length_I, length_I))
        base += size
    item_E, all_E = (np.concatenate([[], *parts]).astype(np.int64) for parts in (items, codes))
    order = np.argsort(item_E, kind="stable")
    return item_E[order], all_E[order], np.concatenate([[], *weights]).astype(np.float32)[order], base


def _coded(
    table: FeatureTable, layout: Layout, n_items: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], int]]:
    """Lists features with codes: where the bag of each item begins, the codes of the bags, and the number of codes."""
    for column, size in enumerate(layout.categorical.values()):
        yield np.arange(n_items + 1), table.categorical_IC[:n_items, column].long().numpy(), size
    for (code_E, offset_J), size in zip(table.tags, layout.tags.values(), strict=True):
        # The table's last row is nobody's.
        yield offset_J[: n_items + 1].numpy(), code_E[: offset_J[n_items]].long().numpy(), size


def _numbers(table: FeatureTable, layout: Layout, trained_I: NDArray[np.bool_]) -> Tensor:
    """Returns the numbers and vectors of the items, `(I, N)`; vectors of a feature are about one long in training."""
    number_IN, vector_IV = table.numeric_IN[:-1], table.vector_IV[:-1]
    trained = torch.from_numpy(trained_I)
    vectors = [
        part_IV / part_IV[trained].square().sum(1).mean().sqrt().clamp(min=1e-6)
        for part_IV in vector_IV.split(list(layout.vector.values()), dim=1)
    ]
    return torch.cat([number_IN, *vectors], dim=1)
