"""Where a part of a model has its rates of decay from: fitted on the training part, or read from a decay-fit."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from ltsi.decay.artefact import DecayArtefact
from ltsi.errors import ConfigError

AUTO = "auto"


class RateSource(nn.Module):
    """A part of a model whose rates come from a fitted decay. Statistics that hold them make the source dispensable.

    Attributes:
        source: `auto`: fitted on the training part; else the folder of a decay-fit.
        given: the decay that was read from there; whoever trains the model hands it over (`hand_over`).
    """

    def __init__(self, source: str = AUTO) -> None:
        super().__init__()
        self.source = source
        self.given: DecayArtefact | None = None

    def artefact(self) -> DecayArtefact | None:
        """Returns the decay to take the rates from; None: fit one.

        Raises:
            ConfigError: one is named and was not handed over.
        """
        if self.source != AUTO and self.given is None:
            raise ConfigError(f"decay={self.source} was not read; `ltsi train` does that.")
        return self.given


def rate_sources(model: nn.Module) -> Iterator[RateSource]:
    """Yields every part of a model that takes its rates from a fitted decay."""
    return (module for module in model.modules() if isinstance(module, RateSource))
