"""Two classes: will this user act on this item now? Any model of the next item answers, with what it knows of the user.

Shape suffixes: E examples, B histories, L positions, I items, D width, N real positions of a batch.
Sources: the dense layers on user, item and crosses follow Covington et al. 2016, "Deep Neural Networks for YouTube
Recommendations", and Zhou et al. 2018, "Deep Interest Network"; Platt 1999, "Probabilistic Outputs for Support Vector
Machines".
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from ltsi.examples import Examples
from ltsi.features.encoder import Layout
from ltsi.histories import Histories
from ltsi.losses.click import ClickLoss
from ltsi.models.feature_embedding import FeatureEmbedding
from ltsi.models.interest import InterestModel
from ltsi.models.layers import Dropout
from ltsi.models.network import SequenceNetwork
from ltsi.models.traces import Traces

if TYPE_CHECKING:
    from ltsi.sequences.split import Split

UNIFORM = 0.01
"""Share of a uniform distribution in a counted one: what was never counted has a logarithm."""

FLATTEST = 1e-6
"""Least slope of a calibration: it may flatten scores, not turn them round."""


class ClickModel(nn.Module, ABC):
    """The probability that a user acts on an item, given a history and a now.

    It learns like an `InterestModel`: statistics, then weights by gradient, then what is chosen on the validation part.

    Attributes:
        learns: whether gradients train it.
        calibrates: whether it has parameters to choose on the validation part.
    """

    learns: ClassVar[bool]
    calibrates: ClassVar[bool] = False

    @abstractmethod
    def fit_statistics(self, split: Split) -> None:
        """Counts what the model needs on the training part of a split, into buffers."""

    @abstractmethod
    def logits(self, groups: Sequence[Examples]) -> Tensor:
        """Returns the logarithm of the odds that the user acts, `(E,)`, group after group."""

    def training_loss(self, groups: Sequence[Examples], loss: ClickLoss) -> Tensor:
        """Returns the loss summed over the examples, a scalar."""
        return loss(self.logits(groups), torch.cat([group.label_E for group in groups]))

    def calibrate(self, batches: Iterable[Examples]) -> None:
        """Chooses parameters on validation examples."""


class ClickNetwork(ClickModel):
    """Dense layers over the user's state, the item, their product, traces and features; one logit.

    The state is that of any network at the position and time that is asked about: the views of the user that were
    concatenated or fused there. The item's vector is the one that histories are embedded with. Traces are what earlier
    events with the item, and with its category, still leave (`ltsi.models.traces`).

    Args:
        network: encodes histories.
        layout: columns of the features.
        feature_dim: width of the embedding of a feature.
        hidden: widths of the dense layers.
        dropout: dropout before each dense layer after the first, and before the logit.
        traces: half-lives of the traces; 0: there are none.
        of_items: see `Traces`.
    """

    learns = True

    def __init__(
        self,
        network: SequenceNetwork,
        layout: Layout,
        feature_dim: int,
        hidden: Sequence[int],
        dropout: float,
        traces: int = 0,
        of_items: bool = True,
    ) -> None:
        super().__init__()
        self.network = network
        # Items are scored by the layers below: what scores the whole catalogue would wait for a gradient in vain, which
        # several devices do not forgive.
        for unused in (network.items.output_ID, network.items.bias_I, network.items.log_temperature):
            if unused is not None:
                unused.requires_grad_(False)
        self.features = FeatureEmbedding(layout, feature_dim)
        self.traces = Traces(network.items.n_items, traces, of_items) if traces else None
        width = 3 * network.items.dim + self.features.width + (0 if self.traces is None else self.traces.width)
        widths = [width, *hidden]
        layers = [(nn.Linear(before, after), nn.ReLU(), Dropout(dropout)) for before, after in pairwise(widths)]
        self.dense = nn.Sequential(*(part for layer in layers for part in layer), nn.Linear(widths[-1], 1))

    def fit_statistics(self, split: Split) -> None:
        """Lets the network and the traces count what they need."""
        self.network.fit_statistics(split)
        if self.traces is not None:
            self.traces.fit_statistics(split)

    def logits(self, groups: Sequence[Examples]) -> Tensor:
        """Returns the logits, `(E,)`; see `ClickModel.logits`."""
        # Who has no history yet is shown as one event of padding.
        histories = [replace(each.histories, length_B=each.histories.length_B.clamp(min=1)) for each in groups]
        if torch.is_grad_enabled():
            state_ND = self.network.encoded(self.network.answers, histories)
        else:
            state_ND = torch.cat([self.network.answers(each)[each.real_BL()] for each in histories])
        starts = accumulate((int(each.length_B.sum()) for each in histories), initial=0)
        asked = zip(starts, histories, groups, strict=False)
        place_E = torch.cat([start + _place(shown, group) for start, shown, group in asked])
        state_ED = state_ND[place_E]
        item_E = torch.cat([group.item_E for group in groups])
        self.network.items.catch_up(item_E)
        item_ED = self.network.items(item_E)
        feature_EW = torch.cat([self.features(group.features) for group in groups])
        seen = [state_ED, item_ED, state_ED * item_ED, feature_EW]
        if self.traces is not None:
            seen.append(self.traces(groups))
        logit_E1: Tensor = self.dense(torch.cat(seen, dim=1))
        return logit_E1.squeeze(1).float()


def _place(histories: Histories, group: Examples) -> Tensor:
    """Returns where the state of each example stands among the real positions of its group, int64 `(E,)`."""
    length_B = histories.length_B
    return (length_B.cumsum(0) - length_B)[group.row_E] + group.position_E.clamp(min=0)


class ScoredClicks(ClickModel):
    """What a counted model thinks of the item, as a probability of acting on it: the baseline of a network.

    `logit = slope · log((1 − ε) p(item | history, now) + ε / I) + offset`. The order of the examples is that of the
    model's own probabilities, so AUC owes nothing to slope and offset; these are fitted by maximum likelihood on
    validation examples, because on training events the counts contain the answer.

    Args:
        model: the counted model. It answers after the last event of a history, where parts of a split ask.
    """

    learns = False
    calibrates = True
    line: Tensor

    def __init__(self, model: InterestModel) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("line", torch.tensor([1.0, 0.0], dtype=torch.float64))

    def fit_statistics(self, split: Split) -> None:
        """Lets the model count what it needs."""
        self.model.fit_statistics(split)

    def logits(self, groups: Sequence[Examples]) -> Tensor:
        """Returns the logits, `(E,)`; see `ClickModel.logits`."""
        slope, offset = self.line
        logit_E: Tensor = slope * torch.cat([self._log_probability(group) for group in groups]) + offset
        return logit_E

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Examples]) -> None:
        """Fits slope and offset; see `ClickModel.calibrate`."""
        found = [(self._log_probability(batch), batch.label_E) for batch in batches]
        score_E, label_E = (torch.cat(column) for column in zip(*found, strict=True))
        self.line.copy_(fit_line(score_E, label_E))

    def _log_probability(self, group: Examples) -> Tensor:
        score_BI = self.model(group.histories).double()
        score_E = score_BI[group.row_E, group.item_E] - score_BI.logsumexp(dim=1)[group.row_E]
        smoothed_E: Tensor = (1 - UNIFORM) * score_E.exp() + UNIFORM / score_BI.shape[1]
        return smoothed_E.log()


def fit_line(score_E: Tensor, label_E: Tensor, steps: int = 50) -> Tensor:
    """Fits `P(acts) = σ(slope · score + offset)` by maximum likelihood.

    Newton steps on Platt's targets `(n⁺ + 1) / (n⁺ + 2)` and `1 / (n⁻ + 2)` instead of 1 and 0, which keep the slope
    finite where the classes can be told apart. A slope below `FLATTEST` is set there, and the offset to the odds.

    Source: Platt 1999, section 2.2.

    Args:
        score_E: float64.
        label_E: 1 or 0.
        steps: Newton steps.

    Returns:
        Slope and offset, float64 `(2,)`.
    """
    positive_E = label_E > 0.5
    n_positive = positive_E.sum().double()
    n_negative = len(label_E) - n_positive
    target_E = torch.where(positive_E, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))
    odds = target_E.mean().logit()
    centre, spread = score_E.mean(), score_E.std(correction=0).clamp(min=1e-12)
    x_E2 = torch.stack([(score_E - centre) / spread, torch.ones_like(score_E)], dim=1)
    line = torch.stack([torch.zeros_like(odds), odds])
    for _ in range(steps):
        p_E = (x_E2 @ line).sigmoid()
        gradient = x_E2.T @ (target_E - p_E)
        curvature = (x_E2 * (p_E * (1 - p_E))[:, None]).T @ x_E2 + 1e-9 * torch.eye(2).to(x_E2)
        step = torch.linalg.solve(curvature, gradient)
        line = line + step * (2 / step.norm()).clamp(max=1.0)
    slope, offset = line[0] / spread, line[1] - line[0] * centre / spread
    if slope < FLATTEST:
        slope, offset = slope.new_tensor(FLATTEST), odds - FLATTEST * centre
    return torch.stack([slope, offset])
