"""Which forecaster a configured model stands for."""

from __future__ import annotations

from torch import nn

from ltsi.errors import ConfigError
from ltsi.models.decay_forecast import DecayForecast
from ltsi.models.exp_decay import ExpDecay
from ltsi.models.forecaster import Forecaster
from ltsi.models.hybrid import Hybrid
from ltsi.models.one_view import OneView
from ltsi.models.rates import AUTO, rate_sources
from ltsi.models.series_network import ResidualNetworks, SeriesNetwork


def forecaster_of(model: nn.Module, horizon: int, seconds: int) -> Forecaster:
    """Makes of a model what forecasts intensity.

    The same names and settings as for the next item: a network lends its encoder, `exp_decay` stands for the decay of
    the series, and `hybrid` for the residual of that decay, read by all of its single networks.

    Args:
        model: as the configuration describes it.
        horizon: steps ahead.
        seconds: of a bin.

    Raises:
        ConfigError: the model has no counterpart, or names a decay-fit that no part of its counterpart would use.
    """
    found = _counterpart(model, horizon, seconds)
    lost = [source.source for source in rate_sources(model) if source.source != AUTO]
    if lost and not any(source.source != AUTO for source in rate_sources(found)):
        raise ConfigError(
            f"decay={lost[0]} would not be used: with objective=intensity the decay of exp_decay, also inside the "
            "hybrid, is fitted on the series themselves; only attention with decay_bias=true starts from a decay-fit."
        )
    return found


def _counterpart(model: nn.Module, horizon: int, seconds: int) -> Forecaster:
    if isinstance(model, Forecaster):
        return model
    if isinstance(model, ExpDecay):
        return DecayForecast(horizon)
    if isinstance(model, OneView):
        return SeriesNetwork(model.encoder, model.items.dim, horizon, seconds)
    if isinstance(model, Hybrid):
        networks = [part for part in model.components.values() if isinstance(part, OneView)]
        if not networks:
            raise ConfigError("objective=intensity needs a single network among the components of model=hybrid.")
        return ResidualNetworks(
            [one.encoder for one in networks], [one.items.dim for one in networks], horizon, seconds
        )
    raise ConfigError(
        f"objective=intensity cannot use {type(model).__name__}: it takes one network, such as model=lstm, or "
        "model=hybrid, exp_decay, arima, seasonal_naive, last_value."
    )
