"""What train and eval both do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_module
from omegaconf import DictConfig
from pytorch_lightning import Trainer

from ltsi.errors import ConfigError, DataError
from ltsi.models.fusion import Attention, Concat, Gate, Recurrent
from ltsi.models.gru import GruEncoder
from ltsi.models.hybrid import Hybrid
from ltsi.models.lstm import Lstm, LstmEncoder
from ltsi.models.popularity import Popularity
from ltsi.models.time_lstm import TimeLstmEncoder
from ltsi.models.two_views import TwoViews
from ltsi.models.views import LastSession, Windowed
from ltsi.runs.folder import RunFolder
from ltsi.store import Store, available_stores, open_store
from ltsi.training.checkpoints import AtomicCheckpointIO
from ltsi.workflows.experiment import build_experiment, build_model, build_trainer, check_fingerprint

MakeStore = Callable[..., Store]


def config(*overrides: str) -> DictConfig:
    with initialize_config_module("ltsi.conf", version_base="1.3"):
        return compose("train", ["n_items=20", *overrides])


@pytest.mark.parametrize(("again", "expected"), [(True, "keep"), (False, "hide")])
def test_seen_items_stay_where_the_log_has_repeats(make_store: MakeStore, again: bool, expected: str) -> None:
    make_store([(0, 1), (1, 2), (0 if again else 2, 3)])
    assert build_experiment(config("data=log")).seen == expected
    assert build_experiment(config("data=log", "seen=hide")).seen == "hide"
    assert build_experiment(config("data=log", "seen=keep")).seen == "keep"


def test_the_split_is_named_and_cut(make_store: MakeStore) -> None:
    make_store(*([(i, 86_400 * (i + u)) for i in range(8)] for u in range(5)))
    by_user, by_time = (
        build_experiment(config("data=log", f"split={name}")) for name in ("leave_one_out", "global_time")
    )
    assert (by_user.split_name, by_time.split_name) == ("leave_one_out", "global_time")
    assert by_user.split.train_end.tolist() != by_time.split.train_end.tolist()
    assert by_user.store.name == "log"


def test_a_store_is_found_by_name_or_path(make_store: MakeStore) -> None:
    path = make_store([(0, 1), (1, 2), (2, 3)]).path
    assert build_experiment(config(f"data={path}")).store.fingerprint == open_store("log").fingerprint


def test_a_store_that_is_no_source_either_is_refused(make_store: MakeStore) -> None:
    make_store([(0, 1), (1, 2), (2, 3)])
    with pytest.raises(DataError, match=r"no store 'lag'.*Did you mean 'log'\?.*Make it with: ltsi prepare"):
        build_experiment(config("data=lag"))
    assert available_stores() == ["log"]


def test_models_are_built_from_their_groups() -> None:
    lstm = build_model(config("model=lstm", "model.hidden=5"))
    assert isinstance(lstm, Lstm)
    assert isinstance(lstm.encoder, LstmEncoder)
    assert lstm.encoder.out.in_features == 5
    for name, fusion in (("gate", Gate), ("concat", Concat), ("attention", Attention), ("recurrent", Recurrent)):
        both = build_model(config("model=lstm_transformer", f"model/fusion={name}"))
        assert isinstance(both, TwoViews)
        assert isinstance(both.fusion, fusion)


def test_any_two_encoders_make_two_views() -> None:
    chosen = ["model/encoder@model.long=gru", "model/encoder@model.short=time_lstm", "model/view=last_session"]
    both = build_model(config("model=dual_lstm", *chosen, "model.short.hidden=5", "model.view.gap_minutes=7"))
    assert isinstance(both, TwoViews)
    assert isinstance(both.long, GruEncoder)
    assert isinstance(both.short, Windowed)
    assert isinstance(both.short.encoder, TimeLstmEncoder)
    assert both.short.encoder.out.in_features == 5
    assert isinstance(both.short.view, LastSession)
    assert both.short.view.gap == 420


@pytest.mark.parametrize(("component", "found"), [("popularity", Popularity), ("lstm_transformer", TwoViews)])
def test_the_components_of_a_mixture_may_be_exchanged(component: str, found: type) -> None:
    mixture = build_model(config("model=hybrid", f"model@model.components.long={component}"))
    assert isinstance(mixture, Hybrid)
    assert type(mixture.components["long"]) is found


def test_only_a_model_is_a_model() -> None:
    with pytest.raises(ConfigError, match=r"model\._target_=torch.nn.ReLU is not an ltsi model"):
        build_model(DictConfig({"model": {"name": "relu", "_target_": "torch.nn.ReLU"}}))


def test_a_trainer_keeps_whole_checkpoints_and_shares_no_batches_itself() -> None:
    trainer = build_trainer(config("trainer.max_epochs=3"))
    assert isinstance(trainer, Trainer)
    assert trainer.max_epochs == 3
    assert isinstance(trainer.strategy.checkpoint_io, AtomicCheckpointIO)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("name", ["gpu", "ddp"])
def test_a_gpu_that_is_not_there_is_missed_at_once(name: str) -> None:
    with pytest.raises(ConfigError, match=r"torch sees no GPU here; use trainer=cpu\."):
        build_trainer(config(f"trainer={name}"))


def test_a_run_is_judged_on_its_own_store_only(make_store: MakeStore, tmp_path: Path) -> None:
    store, folder = make_store([(0, 1), (1, 2), (2, 3)]), RunFolder(tmp_path / "run")
    check_fingerprint(store, {"fingerprint": store.fingerprint}, folder)
    other = make_store([(0, 1), (2, 2), (1, 3)])
    for environment in ({"fingerprint": store.fingerprint}, {}):
        with pytest.raises(DataError, match=r"run was trained on another version of store 'log'"):
            check_fingerprint(other, environment, folder)
