"""Names, paths, ids and columns reach the program as they were typed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from typer.testing import Result as Outcome

import ltsi.conf
from ltsi.cli._texts import as_typed
from ltsi.tables import Result

Run = Callable[..., Outcome]
Train = Callable[[Callable[[Any], Any]], None]
CONF = Path(ltsi.conf.__file__).parent
NUMBERS = [
    ["clean.item_frequency.most", "clean.user_frequency.most"],
    ["model.window", "model.half_life", "model.pair_half_life", "model.iterations", "model.period", "model.order"],
    ["model.hidden", "model.encoder.hidden", "objective.hidden", "objective.labels.at_least", "source.half_life_days"],
    ["train.n_items", "objective.labels.hours"],
]
MAPPINGS = [
    ["clean", "prepare.clean", "objective.clean", "augmentation", "train.augmentation", "ablation", "features.cross"],
    ["features.event", "features.item", "features.user", "interests.weights", "objective.weights", "engine.settings"],
    ["train.decay_digests", "source.behaviors", "source.items", "source.users", "source.filters"],
]
WORDS = [
    ["audit.features", "prepare.audit", "prepare.ties", "train.seen", "train.compile", "train.metrics", "eval.metrics"],
    ["eval.trust", "decay_fit.trust", "eval.trainer.precision"],
    ["decay_fit.estimator", "decay_fit.exposure", "decay_fit.form", "decay_fit.part", "interests.bin", "objective.bin"],
    ["clean.item_frequency.of", "clean.user_frequency.of", "clean.outliers_iqr.action", "clean.outliers_zscore.action"],
    [f"clean.{step}.by" for step in ("missing_interpolated", "missing_mean", "missing_median", "moving_mean")],
    [f"clean.{step}.by" for step in ("moving_median", "outliers_iqr", "outliers_zscore")],
    ["engine.name", "engine.master", "engine.memory_limit", "loss.name", "optimizer.name", "objective.name"],
    [
        "objective.labels.name",
        "objective.labels.drawn",
        "split.name",
        "split.target",
        "split.split",
        "source.time_zone",
    ],
    ["source.time_unit", "source.encoding", "trainer.name", "trainer.accelerator", "trainer.precision"],
    ["trainer.strategy", "trainer.strategy.process_group_backend"],
    [f"model.{key}" for key in ("name", "algorithm", "positions", "similarity", "without", "encoder.name", "join")],
    [f"model.{key}" for key in ("encoder.positions", "fusion.name", "fusion.form", "view.name", "items.name")],
    [f"model.{key}" for key in ("items.features", "items.start")],
]
OF_A_PUBLISHED_SET = ("source.folder", "source.files", "source.tables.")


@pytest.fixture
def composed(run: Run) -> Callable[..., Any]:
    """Compose the configuration of a command as a user sees it."""

    def of(command: str, *overrides: str) -> Any:
        outcome = run(command, "--cfg", "job", *overrides)
        assert outcome.exit_code == 0, outcome.stderr
        return yaml.safe_load(outcome.stdout)

    return of


def test_what_looks_like_a_number_reaches_prepare_as_typed(composed: Callable[..., Any]) -> None:
    cfg = composed(
        "prepare",
        "source=table",
        "name=2024_05",
        "source.path=[2024_05,1e3]",
        "source.columns={user: 1e3, item: true}",
        "source.columns.time=inf",
        "source.columns.value=null",
        "source.item_columns=[2024_05]",
        "source.items={path: 1_0, key: 0x1, columns: [5], header: null}",
        "source.filters=[{column: 5, at_least: 2}]",
        "seed=1_0",
    )
    source = cfg["source"]
    assert cfg["name"] == "2024_05"
    assert cfg["seed"] == 10
    assert source["path"] == ["2024_05", "1e3"]
    given = {"user": "1e3", "item": "true", "time": "inf", "value": None}
    assert {role: source["columns"][role] for role in given} == given
    assert source["item_columns"] == ["2024_05"]
    assert source["items"] == {"path": "1_0", "key": "0x1", "columns": ["5"], "header": None}
    assert source["filters"] == [{"column": "5", "at_least": 2}]


def test_null_is_none_but_where_there_always_is_a_text(composed: Callable[..., Any]) -> None:
    interests = composed("interests", "user=null", "data=null", "now=null")
    assert (interests["user"], interests["data"], interests["now"]) == (None, "null", None)
    assert composed("eval", "run=null")["run"] == "null"
    assert composed("decay-fit", "run=null")["run"] is None


def test_the_folder_of_a_run_is_named_as_typed(run: Run, conf: Path, train: Train, folder: Path) -> None:
    train(lambda _: Result(messages=["done"]))
    arguments = ("train", "--config-dir", str(conf), "--config-name", "toy", "data=3", "hydra.run.dir=2024_06")
    assert run(*arguments).exit_code == 0
    assert (folder / "2024_06/.hydra").is_dir()
    assert not (folder / "202406").exists()


def test_a_file_of_a_group_may_be_named_like_a_number(run: Run, folder: Path) -> None:
    (folder / "experiment").mkdir()
    (folder / "experiment/2024_05.yaml").write_text("# @package _global_\nseed: 12\n")
    outcome = run("train", "--config-dir", str(folder), "--cfg", "job", "experiment=2024_05")
    assert yaml.safe_load(outcome.stdout)["seed"] == 12
    assert "there is no split '3'" in run("train", "split=3").stderr
    assert "there is no split 'null'" in run("audit", "split=null").stderr


@pytest.mark.parametrize(
    ("override", "values"),
    [
        ("data=2024_05,5,shop", ["2024_05", "5", "shop"]),
        ("data=choice(1e3,null)", ["1e3", "null"]),
        ("data=range(1,3)", ["1", "2"]),
    ],
)
def test_a_sweep_over_texts(run: Run, conf: Path, train: Train, override: str, values: list[str]) -> None:
    seen = []

    def work(cfg: Any) -> Result:
        seen.append(cfg.data)
        return Result()

    train(work)
    assert run("train", "--config-dir", str(conf), "--config-name", "toy", "-m", override).exit_code == 0
    assert seen == values


@given(st.text(st.sampled_from("0123456789_.eE+-nulifatrs Ööß#!&()"), min_size=1).map(str.strip).filter(bool))
@example("2024_05")
@example("8e12")
@example("null")
@example("True")
@example("log (1).csv")
@example("Größe")
@example("-inf")
def test_any_text_is_read_as_typed(text: str) -> None:
    (override,) = as_typed([f"run={text}"], "run")
    assert OverridesParser.create().parse_override(override).value() == text


@pytest.mark.parametrize(
    "override",
    [
        "user='2024_05'",
        'user="5"',
        "user=${now:%Y}",
        "~user",
        "seed=1_0",
        "trainer.max_epochs=3",
        "user=[1",
        "user=",
        "user=a",
        "source=table",
        "word",
        "source.filters=[{column: a, equals: 5}]",
    ],
)
def test_all_else_is_left_alone(override: str) -> None:
    assert as_typed([override]) == [override]


@pytest.mark.parametrize("prefix", ["+", "++"])
def test_added_texts_are_texts(prefix: str) -> None:
    assert as_typed([f"{prefix}user=5"]) == [f"{prefix}user='5'"]


def settings(node: Any, key: str) -> Iterator[tuple[str, Any]]:
    """List the settings of a file that may be texts: their default is a text, a list, an empty mapping or nothing."""
    if isinstance(node, dict) and node:
        for name, value in node.items():
            if name not in {"_target_", "defaults", "about", "download", "reader"}:
                yield from settings(value, f"{key}.{name}")
    elif not isinstance(node, bool | int | float) and not str(node).startswith("${"):
        yield key, node


@pytest.mark.parametrize("path", [path for path in CONF.rglob("*.yaml") if "hydra" not in path.parts], ids=str)
def test_every_setting_is_known_to_be_a_text_or_not(path: Path) -> None:
    """Whoever adds one says what it is: in TEXTS if anything may be given, else here."""
    groups = path.relative_to(CONF).parts[:-1]
    if groups and groups[0] in {"experiment", "ablation"}:
        return
    known = {key for keys in (*NUMBERS, *MAPPINGS, *WORDS) for key in keys}
    prefix = ".".join(groups) or path.stem
    for key, _ in settings(OmegaConf.to_container(OmegaConf.load(path), resolve=False), prefix):
        own = key if groups else key.removeprefix(f"{prefix}.")
        is_text = as_typed([f"{own}=5"]) != [f"{own}=5"]
        assert is_text != (key in known or key.startswith(OF_A_PUBLISHED_SET)), key
