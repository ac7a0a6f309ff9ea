"""Intensity: how much will this user do with this entity in each of the next days or weeks?

Shape suffixes: S series, N forecasts, B windows, H steps ahead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from ltsi.errors import ConfigError, DataError, RunError
from ltsi.features.space import FeatureSpace
from ltsi.intensity.cleaning import cleaned
from ltsi.intensity.series import IntensitySeries, intensity_series
from ltsi.losses.intensity import IntensityLoss
from ltsi.metrics import VALUES, Forecasts, value_summary
from ltsi.models.forecaster import COVERAGE, Forecaster
from ltsi.models.forecasting import forecaster_of
from ltsi.models.interest import InterestModel
from ltsi.models.series_network import fit_encoders
from ltsi.objectives.objective import Answers, Objective, Task, refuse_features
from ltsi.objectives.window_batches import PartWindows, TrainingWindows
from ltsi.preparation.clean import CleaningStep
from ltsi.sequences.augmentation import Augmentation
from ltsi.sequences.batches import Shard
from ltsi.sequences.split import PARTS, Split
from ltsi.windows import WindowBatch, Windows

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Intensity(Objective):
    """Forecasts of intensity series over a horizon, from origins that roll through each part.

    Args:
        entity: what interest is in: a column of the item table, `item`, `all`, or `auto`.
        bin: `day` or `week`.
        horizon: bins that are forecast from an origin.
        stride: bins from one origin to the next.
        least_active: a series is forecast if it has so many active bins in training.
        weights: what an event counts, by its behaviour; None: what the store declares, else 1.
        clean: cleaning steps of `ltsi prepare`, applied to the training bins.

    Raises:
        ConfigError: a number makes no sense.
    """

    name: ClassVar[str] = "intensity"
    monitor: ClassVar[str] = "mae"
    metrics: ClassVar[tuple[str, ...]] = ("mse", "mae", "rmse", "r2", "mase", "coverage")
    reads: ClassVar[str] = VALUES

    def __init__(
        self,
        entity: str = "auto",
        bin: str = "week",  # noqa: A002 - the key of the configuration
        horizon: int = 4,
        stride: int = 1,
        least_active: int = 3,
        weights: Mapping[str, float] | None = None,
        clean: Mapping[str, CleaningStep] | None = None,
    ) -> None:
        for key, value in (("horizon", horizon), ("stride", stride), ("least_active", least_active)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"objective.{key}={value} must be a whole number from 1.")
        self.entity, self.bin, self.horizon, self.stride = entity, bin, horizon, stride
        self.least_active, self.weights, self.clean = least_active, weights, dict(clean or {})

    def on(self, split: Split, features: FeatureSpace | None) -> IntensityTask:
        """Puts the objective on a split; see `Objective.on`."""
        refuse_features(features, self.name)
        return IntensityTask(self, split)


class IntensityTask(Task[Forecaster, WindowBatch]):
    """Every series of a split, to be forecast.

    Bins begin and end at the cut between training and validation, so no bin lies across it; the first origin of the
    test is the first bin that begins at its cut or later.

    Args:
        objective: the objective.
        split: cut at moments.

    Raises:
        ConfigError: the split is not cut at moments that are the same for everybody, or a part is shorter than the
            horizon.
        DataError: no series has enough active bins in training.
    """

    @property
    def asked(self) -> str:
        """See `Task.asked`."""
        return "forecasts"

    def __init__(self, objective: Intensity, split: Split) -> None:
        super().__init__(objective, split)
        self.settings, self.horizon = objective, objective.horizon
        cut_valid, cut_test = (split.report.get(f"cut_{part}") for part in PARTS)
        if cut_valid is None or cut_test is None:
            raise ConfigError(
                "objective=intensity forecasts from one moment on for everybody; choose split=global_time or "
                "split=rolling_origin."
            )
        series = intensity_series(
            split.store, objective.entity, unit=objective.bin, now=split.report.get("cut_end"),
            weights=objective.weights, anchor=cut_valid,
        )  # fmt: skip
        self.end_bin = int(series.bins.of(np.array([cut_valid]))[0])
        self.test_bin = int(series.bins.of(np.array([cut_test + series.bins.seconds - 1]))[0])
        self.series = self._chosen(series, split)
        # Checked before anything is trained.
        for part in PARTS:
            self.origins(part)
        self._zero: dict[str, int] = {}

    def _chosen(self, series: IntensitySeries, split: Split) -> IntensitySeries:
        before_M = np.append(0, np.cumsum(series.bin_M < self.end_bin))
        active_S = before_M[series.offsets[1:]] - before_M[series.offsets[:-1]]
        kept_S = active_S >= self.settings.least_active
        if not kept_S.any():
            raise DataError(
                f"No series of store '{split.store.name}' by {series.entities.name} has "
                f"{self.settings.least_active} active bins before the cut (bin={series.bins.unit}); take a later cut, "
                "a smaller objective.least_active or a coarser objective.entity."
            )
        kept = replace(series.select(kept_S), least_active=self.settings.least_active)
        chosen, self.steps = cleaned(kept, self.settings.clean, self.end_bin, series.total_T)
        self.scale_S = _naive_error(chosen, self.end_bin)
        self._report = {
            "series": len(chosen),
            "thin_series": int(((active_S > 0) & ~kept_S).sum()),
            "constant_series": int((self.scale_S == 0).sum()),
            "training_bins": self.end_bin,
        }
        return chosen

    @property
    def report(self) -> dict[str, int]:
        """Counts of the series; see `Task.report`."""
        return self._report

    def origins(self, part: str) -> Ints:
        """Returns the bins that a part forecasts first, int64.

        Raises:
            ConfigError: not one whole horizon lies in the part.
        """
        first, end = (self.end_bin, self.test_bin) if part == "valid" else (self.test_bin, self.series.bins.count)
        found = np.arange(first, end - self.horizon + 1, self.settings.stride)
        if not len(found):
            unit = self.series.bins.unit
            least = "a longer log" if unit == "day" else "objective.bin=day or a longer log"
            raise ConfigError(
                f"The {part} part has {max(end - first, 0)} whole {unit}s, and objective.horizon={self.horizon} "
                f"forecasts {self.horizon}; take {'a shorter horizon' if self.horizon > 1 else least}, or cut earlier "
                "(split.valid, split.test) or into longer parts (split.start, split.folds)."
            )
        return found

    def fit_statistics(self, model: Forecaster) -> None:
        """Lets a forecaster fit the training bins, and its encoders the events in them; see `Task.fit_statistics`."""
        model.fit_statistics(self.series, self.end_bin)
        fit_encoders(model, self.split)

    def model(self, model: InterestModel | Forecaster) -> Forecaster:
        """Makes a forecaster of a model; see `Task.model`."""
        return forecaster_of(model, self.horizon, self.series.bins.seconds)

    def check_loss(self, loss: object) -> None:
        """Refuses a loss of another objective; see `Task.check_loss`."""
        if not isinstance(loss, IntensityLoss):
            raise ConfigError(
                "This is not a forecasting loss; objective=intensity takes loss=mean_and_median or loss=log_squared."
            )

    def training(
        self, max_length: int, batch_size: int, seed: int, shard: Shard, augmentation: Sequence[Augmentation] = ()
    ) -> TrainingWindows:
        """Returns `WindowBatch`es over all training bins; see `Task.training`."""
        if augmentation:
            raise ConfigError("augmentation changes windows of next items, not series; choose augmentation=none.")
        return TrainingWindows(self.series, self.end_bin, max_length, self.horizon, batch_size, seed, shard)

    def part(
        self,
        part: str,
        max_length: int,
        hide_seen: bool,  # noqa: ARG002
        shard: Shard,
        limit: int | None = None,
    ) -> PartWindows:
        """Returns `Windows` that end at the origins of a part; see `Task.part`."""
        return PartWindows(self.series, self.origins(part), max_length, self.horizon, shard, limit)

    def loss(self, model: Forecaster, batch: WindowBatch, loss: IntensityLoss) -> Tensor:
        """Returns the mean loss of the positions; see `Task.loss`."""
        return model.training_loss(batch.windows, loss) / batch.n_targets

    def answers(self, model: Forecaster, batch: Windows) -> dict[str, Tensor]:
        """Returns each forecast beside what came; see `Task.answers`."""
        step_H = torch.arange(self.horizon, device=batch.index_BL.device)
        asked_BL = batch.asked_BL()
        mean_NH, median_NH, low_NH, high_NH = (column.double() for column in model.forecast(batch))
        columns = {
            "index": batch.index_BL[asked_BL][:, None] * self.horizon + step_H,
            "actual": batch.future_BLH[asked_BL].double(),
            "mean": mean_NH,
            "median": median_NH,
            "low": low_NH,
            "high": high_NH,
            "series": batch.series_B[:, None].expand_as(asked_BL)[asked_BL][:, None].expand(-1, self.horizon),
        }
        return {name: column.reshape(-1) for name, column in columns.items()}

    def summary(self, answers: Answers, metrics: Sequence[str]) -> dict[str, float]:
        """Evaluates metrics over the forecasts; see `Task.summary`."""
        if np.isnan(answers["mean"]).any() or np.isnan(answers["median"]).any():
            raise RunError(
                "The model's forecasts are NaN: its training diverged; train again with a lower learning rate or "
                "gradient clipping."
            )
        actual, mean, median, low, high = (answers[name] for name in ("actual", "mean", "median", "low", "high"))
        forecasts = Forecasts(actual, mean, median, low, high, self.scale_S[answers["series"]])
        return value_summary(forecasts, metrics)

    def table(self, part: str, answers: Answers) -> pl.DataFrame:
        """Returns one row a forecast: who, what, from when, how far ahead, what came, what was forecast."""
        series, store, origins = self.series, self.split.store, self.origins(part)
        window, step = np.divmod(answers["index"], self.horizon)
        of = answers["series"]
        origin = series.bins.moment(origins[window % len(origins)])
        sums = np.bincount(of, weights=answers["actual"], minlength=len(series))
        self._zero[part] = int((sums == 0).sum())
        return pl.DataFrame(
            {
                "user": store.users["user"].gather(series.user_S[of]),
                "entity": pl.Series(series.entities.labels).gather(series.entity_S[of]),
                "origin": pl.Series(origin * 1_000).cast(pl.Datetime("ms", "UTC")),
                "step": step + 1,
                "actual": answers["actual"],
                "scale": self.scale_S[of],
                "mean": answers["mean"],
                "median": answers["median"],
                "low": answers["low"],
                "high": answers["high"],
            }
        )

    def protocol(self, seen: str) -> str:  # noqa: ARG002
        """Says how forecasts are judged; see `Task.protocol`."""
        report, unit = self._report, self.series.bins.unit
        zero = "; ".join(f"{count} of them are zero throughout {part}" for part, count in self._zero.items())
        return (
            f"{report['series']} series by {self.series.entities.name}, {self.horizon} {unit}s ahead from every "
            f"{self.settings.stride}. {unit} of the part, intervals of {COVERAGE:.0%}; "
            f"{report['thin_series']} thinner series left out, {report['constant_series']} constant ones have no mase"
            f"{'; ' if zero else ''}{zero}"
        )


def _naive_error(series: IntensitySeries, end_bin: int) -> Floats:
    """Returns the mean absolute change from one training bin to the next, `(S,)`; 0 of a constant series."""
    found = []
    for first, last in series.blocks():
        x_ST = series.dense(first, last)[:, :end_bin]
        begun_ST = np.arange(end_bin) >= series.first_S[first:last][:, None]
        change_ST = np.abs(np.diff(x_ST, axis=1)) * begun_ST[:, :-1]
        found.append(change_ST.sum(axis=1) / np.maximum(begun_ST[:, :-1].sum(axis=1), 1))
    return np.concatenate(found)
