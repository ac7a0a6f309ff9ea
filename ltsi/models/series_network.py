"""Networks that forecast intensity: the encoder of any single network, shown a series instead of items.

Shape suffixes: B windows, L positions, H steps ahead, D width, F inputs of a position, 2 mean and median.
Sources, for the residual of a simple method: Zhang 2003, "Time series forecasting using a hybrid ARIMA and neural
network model", and Smyl 2020, "A hybrid method of exponential smoothing and recurrent neural networks for time series
forecasting".
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ltsi.histories import Histories
from ltsi.intensity.series import IntensitySeries
from ltsi.models.decay_forecast import DecayForecast
from ltsi.models.forecaster import Forecaster
from ltsi.models.network import Encoder
from ltsi.models.times import LogGap
from ltsi.sequences.split import Split
from ltsi.windows import Points, Windows


class SeriesNetwork(Forecaster):
    """Mean and median of `x(t + 1 .. t + H)` from the encoder's state at position t.

    Args:
        encoder: encodes the embedded series.
        dim: width D of what it takes and gives.
        horizon: steps ahead.
        seconds: of a bin, for encoders that look at times.
    """

    learns = True

    def __init__(self, encoder: Encoder, dim: int, horizon: int, seconds: int) -> None:
        super().__init__()
        self.reader = SeriesReader(encoder, dim, horizon, seconds, inputs=1)

    def everywhere(self, windows: Windows) -> Points:
        """Forecasts from every position; see `Forecaster.everywhere`."""
        mean, median = self.reader(windows.x_BL.log1p()[:, :, None], windows).unbind(-1)
        return Points(softplus(mean), median)


class ResidualNetworks(Forecaster):
    """The fitted decay, and what networks expect beyond it: `log(mean) = log(decay) + mean_k residual_k`.

    So does the median, on the scale `log(1 + x)`, because 0 has no logarithm. A residual starts at 0, and training from
    the decay. Beside the series the networks see the decay's forecast, the mean of the series so far, the bins since
    anything happened, and how much everybody does.

    Args:
        encoders: encode the embedded series, each for itself.
        dims: width of each.
        horizon: steps ahead.
        seconds: of a bin.
    """

    learns = True

    def __init__(self, encoders: Sequence[Encoder], dims: Sequence[int], horizon: int, seconds: int) -> None:
        super().__init__()
        self.decay = DecayForecast(horizon)
        readers = [SeriesReader(one, dim, horizon, seconds, inputs=5) for one, dim in zip(encoders, dims, strict=True)]
        self.readers = nn.ModuleList(readers)
        for reader in readers:
            nn.init.zeros_(reader.head.weight)
            nn.init.zeros_(reader.head.bias)

    def fit_statistics(self, series: IntensitySeries, end_bin: int) -> None:
        """Fits the decay; see `Forecaster.fit_statistics`."""
        self.decay.fit_statistics(series, end_bin)

    def everywhere(self, windows: Windows) -> Points:
        """Forecasts from every position; see `Forecaster.everywhere`."""
        with torch.no_grad():
            decay = self.decay.everywhere(windows)
            count_L = torch.arange(1, windows.x_BL.shape[1] + 1, device=windows.x_BL.device)
            mean_BL = windows.x_BL.cumsum(dim=1) / count_L
            columns = [windows.x_BL.log1p(), decay.median[:, :, 0], mean_BL.log1p(), _silence(windows.x_BL).log1p()]
            input_BLF = torch.stack([*columns, windows.level_BL], dim=2)
        residual = torch.stack([reader(input_BLF, windows) for reader in self.readers]).mean(dim=0)
        # log(1 + exp(log(decay) + residual)), see `SeriesNetwork`.
        mean = softplus(decay.mean.expm1().log() + residual[..., 0])
        return Points(mean, decay.median + residual[..., 1])


class SeriesReader(nn.Module):
    """An encoder between a linear layer that embeds positions and one that reads the forecasts off its states.

    Args:
        encoder: encodes the embedded series.
        dim: width D.
        horizon: steps ahead H.
        seconds: of a bin.
        inputs: numbers F of a position.
    """

    def __init__(self, encoder: Encoder, dim: int, horizon: int, seconds: int, inputs: int) -> None:
        super().__init__()
        self.encoder, self.seconds = encoder, seconds
        self.embed = nn.Linear(inputs, dim)
        self.head = nn.Linear(dim, 2 * horizon)

    def fit_statistics(self, split: Split) -> None:
        """Lets the encoder count on the log of the series what it needs; see `Encoder.fit_statistics`.

        What it takes from the log holds in seconds, as the times of a series do: attention that fades starts at the
        return decay of the events, per day. The gaps of a series are its own, one bin each.
        """
        self.encoder.fit_statistics(split)
        for module in self.encoder.modules():
            if isinstance(module, LogGap):
                module.mean.fill_(math.log1p(self.seconds))
                module.spread.fill_(1.0)

    def forward(self, input_BLF: Tensor, windows: Windows) -> Tensor:
        """Reads a series, `(B, L, H, 2)`."""
        place_L = torch.arange(input_BLF.shape[1], device=input_BLF.device)
        time_BL = (windows.first_B[:, None] + place_L) * self.seconds
        # A series has no items; encoders look at times and lengths only.
        histories = Histories(torch.zeros_like(time_BL), time_BL, windows.length_B, time_BL + self.seconds)
        found_BLH2: Tensor = self.head(self.encoder(self.embed(input_BLF), histories)).unflatten(-1, (-1, 2))
        return found_BLH2


def fit_encoders(model: Forecaster, split: Split) -> None:
    """Lets the encoders of a forecaster, if it has any, count what they need on the log of the series.

    Args:
        model: the forecaster.
        split: the log; only its training part is looked at.
    """
    for module in model.modules():
        if isinstance(module, SeriesReader):
            module.fit_statistics(split)


def _silence(x_BL: Tensor) -> Tensor:
    """Returns the bins since anything happened, `(B, L)`; 0 where something did."""
    place_L = torch.arange(x_BL.shape[1], device=x_BL.device).expand_as(x_BL)
    last_BL = torch.where(x_BL > 0, place_L, torch.zeros_like(place_L)).cummax(dim=1).values
    return (place_L - last_BL).float()
