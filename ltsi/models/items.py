"""The catalogue as vectors: what histories are embedded with and states are compared with.

Shape suffixes: B histories, L positions, I items, U some of them, J items and padding, X any leading shape, D model
width, E width of what is compared: D, and one more where items have a bias.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from ltsi.models.layers import looked_up
from ltsi.models.spectral import spectral_vectors
from ltsi.sequences.split import Split

STARTS = ("counts", "random")

SHORTEST = 1e-3
"""A vector shorter than this stays shorter than one when it is normalised: at zero the gradient would explode."""


class Items(nn.Module):
    """Vectors of the items, on the way in and on the way out, and the scores that a state gives them.

    `score = ⟨state, vector⟩ / temperature + bias`, with the cosine in place of the product if asked. Training and
    ranking both compare `ready(state)` with `vectors()` by a plain product, so they cannot differ.

    Sources: Press & Wolf 2017, "Using the Output Embedding to Improve Language Models" (one vector for both ways);
    Wang et al. 2017, "NormFace" (cosine and temperature).

    Args:
        n_items: size of the catalogue. Row `n_items` of the embedding is padding.
        dim: width D.
        tied: whether an item's vector is the same on the way in and on the way out.
        cosine: whether states and vectors are brought to length one before they are compared.
        temperature: what the product is divided by.
        learn_temperature: whether it is only where learning begins.
        bias: whether each item has a score of its own, whoever asks.
        start: what the vectors are before the first step: `random`, or `counts`, which puts what training shows close
            together close together (`ltsi.models.spectral`) and saves the epochs that find it out.
    """

    def __init__(
        self,
        n_items: int,
        dim: int,
        tied: bool = True,
        cosine: bool = False,
        temperature: float = 1.0,
        learn_temperature: bool = False,
        bias: bool = False,
        start: str = "random",
    ) -> None:
        super().__init__()
        if start not in STARTS:
            raise ValueError(f"start={start} is not one of: {', '.join(STARTS)}")
        if not temperature > 0:
            raise ValueError(f"temperature={temperature} must be above 0")
        self.n_items, self.dim, self.cosine, self.initial_temperature = n_items, dim, cosine, temperature
        self.start = start
        self.settle: Callable[[Tensor | None], None] | None = None
        self.held: Tensor | None = None
        self.embedding = nn.Embedding(n_items + 1, dim, padding_idx=n_items)
        nn.init.normal_(self.embedding.weight, std=dim**-0.5)
        with torch.no_grad():
            self.embedding.weight[n_items].zero_()
        self.output_ID = None if tied else nn.Parameter(torch.randn(n_items, dim) * dim**-0.5)
        # Relative to where it began: weight decay pulls it there.
        self.log_temperature = nn.Parameter(torch.zeros(())) if learn_temperature else None
        self.bias_I = nn.Parameter(torch.zeros(n_items)) if bias else None

    @torch.no_grad()
    def fit_statistics(self, split: Split) -> None:
        """Counts what the vectors need on the training part of a split.

        An item that training never shows beside another one keeps its random vector. So do all items of a catalogue
        that is hardly larger than the vectors are wide: at random each has a direction of its own.
        """
        if self.start != "counts" or self.n_items <= 2 * self.dim:
            return
        vector_ID = torch.from_numpy(spectral_vectors(split, self.dim)).to(self.embedding.weight)
        counted_I1 = vector_ID.any(dim=1, keepdim=True)
        for weight_ID in (self.embedding.weight[: self.n_items], self.output_ID):
            if weight_ID is not None:
                weight_ID.copy_(torch.where(counted_I1, vector_ID, weight_ID))

    @property
    def can_wait(self) -> bool:
        """Whether gradients of the vectors can be sparse."""
        return self.output_ID is None

    def wait_for(self, settle: Callable[[Tensor | None], None] | None) -> None:
        """Lets an optimiser move the vectors of items when they are asked for; only their gradients are computed then.

        Args:
            settle: brings rows up to date, int64 `(U,)`, or all, for None. None: nobody needs to.
        """
        self.settle, self.embedding.sparse = settle, settle is not None

    def catch_up(self, item_X: Tensor | None) -> None:
        """Brings the vectors of items, or of all, up to date, before they are looked up to learn from them."""
        if self.settle is not None and self.training:
            self.settle(None if item_X is None else item_X.unique())

    def forward(self, item_BL: Tensor) -> Tensor:
        """Embeds items, `(B, L, D)`; padding is zero."""
        return looked_up(item_BL, self.embedding.weight, self.n_items, self.embedding.sparse)

    @property
    def temperature(self) -> float | Tensor:
        """What the product of state and vector is divided by."""
        if self.log_temperature is None:
            return self.initial_temperature
        return self.initial_temperature * self.log_temperature.exp()

    def outputs(self, item_U: Tensor | None = None) -> Tensor:
        """Returns the vectors on the way out, before they are normalised, `(I, D)`; of some items, `(U, D)`."""
        if self.output_ID is not None:
            return self.output_ID if item_U is None else functional.embedding(item_U, self.output_ID)
        self.catch_up(item_U)
        if item_U is None:
            return self.embedding.weight[: self.n_items]
        return looked_up(item_U, self.embedding.weight, self.n_items, self.embedding.sparse)

    def biases(self, item_U: Tensor | None = None) -> Tensor | None:
        """Returns the bias of each item, `(I,)`, or of some, `(U,)`, if they have one."""
        return self.bias_I if item_U is None or self.bias_I is None else self.bias_I[item_U]

    def vectors(self, item_U: Tensor | None = None) -> Tensor:
        """Returns what ready states are compared with: the vectors of all items, `(I, E)`, or of some, `(U, E)`.

        Args:
            item_U: int64, the items that are asked for; the others are not looked at. None: all.
        """
        if item_U is None and self.held is not None:
            return self.held
        vector_UD, bias_U = self.outputs(item_U), self.biases(item_U)
        if self.cosine:
            vector_UD = functional.normalize(vector_UD, dim=-1, eps=SHORTEST)
        return vector_UD if bias_U is None else torch.cat([vector_UD, bias_U[:, None]], dim=1)

    def ready(self, state_XD: Tensor) -> Tensor:
        """Returns states as they are compared with `vectors()`, `(..., E)`: normalised, divided, a one for the bias."""
        if self.cosine:
            # In the precision of the vectors, whatever that of the states is.
            state_XD = functional.normalize(state_XD.to(self.embedding.weight.dtype), dim=-1, eps=SHORTEST)
        if self.log_temperature is not None or self.initial_temperature != 1:
            state_XD = state_XD / self.temperature
        return state_XD if self.bias_I is None else functional.pad(state_XD, (0, 1), value=1.0)

    def scores(self, state_XD: Tensor) -> Tensor:
        """Returns the score of each item, `(..., I)`, in the precision of the vectors, as losses do: ranks need it."""
        with torch.autocast(state_XD.device.type, enabled=False):
            vector_IE = self.vectors()
            return self.ready(state_XD.to(vector_IE.dtype)) @ vector_IE.T


@contextmanager
def holding_vectors(model: nn.Module) -> Iterator[None]:
    """Lets everything that is ranked while it is open share the vectors of the catalogue, which are made once.

    Args:
        model: learns nothing meanwhile; all of its catalogues hold their vectors.
    """
    catalogues = [each for each in model.modules() if isinstance(each, Items)]
    try:
        for items in catalogues:
            with torch.no_grad(), torch.autocast(items.embedding.weight.device.type, enabled=False):
                items.held = items.vectors()
        yield
    finally:
        for items in catalogues:
            items.held = None
