"""Every shipped configuration composes, and names components that exist."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from hydra.utils import get_object
from omegaconf import OmegaConf
from typer.testing import Result

import ltsi.conf
from ltsi.workflows.expected import require_expected

CONF = Path(ltsi.conf.__file__).parent
ROOTS = sorted(path.stem for path in CONF.glob("*.yaml"))
OPTIONS = sorted(
    f"{path.parent.relative_to(CONF)}={path.stem}"
    for path in CONF.rglob("*/*.yaml")
    if path.relative_to(CONF).parts[0] != "hydra"
)


@pytest.fixture
def configuration() -> Iterator[None]:
    with initialize_config_module("ltsi.conf", version_base="1.3"):
        yield


def targets(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "_target_" in node:
            yield node["_target_"]
        for value in node.values():
            yield from targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from targets(value)


@cache
def choices(*overrides: str, root: str) -> dict[str, str]:
    """List the group options that a root configuration takes."""
    return dict(compose(root, list(overrides), return_hydra_config=True).hydra.runtime.choices)


def places(group: str, taken: dict[str, str]) -> list[str]:
    """List where a group is taken: as it is, or else under the names it has there (`model/encoder@model.long`)."""
    return [group] if group in taken else [key for key in taken if key.startswith(f"{group}@")]


@cache
def ways_to(group: str) -> list[tuple[str, list[str], str]]:
    """List the roots, with the options of an outer group that are needed, which take a group, and as what."""
    outer = group.rpartition("/")[0]
    ways: list[tuple[str, list[str], str]] = []
    for root in ROOTS:
        ways += [(root, [], place) for place in places(group, choices(root=root))]
    for option in (option for option in OPTIONS if outer and option.startswith(f"{outer}=")):
        for root in {root for root, _, _ in ways_to(outer)}:
            ways += [(root, [option], place) for place in places(group, choices(option, root=root))]
    return ways


def test_every_composed_command_has_its_configuration() -> None:
    assert ROOTS == ["audit", "decay_fit", "eval", "interests", "prepare", "train"]


@pytest.mark.usefixtures("configuration")
@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_composes_and_its_components_take_its_settings(option: str) -> None:
    group, _, name = option.partition("=")
    ways = ways_to(group)
    assert ways, f"no command takes the group {group}"
    # Where a group is taken does not depend on the option: the first goes everywhere, the others once to each command.
    first = next(one for one in OPTIONS if one.startswith(f"{group}="))
    for root, needed, place in ways if option == first else {way[0]: way for way in reversed(ways)}.values():
        cfg = compose(root, [*needed, f"{place}={name}"])
        for target in targets(OmegaConf.to_container(cfg, resolve=False)):
            assert callable(get_object(target))
        if "n_items" in cfg:
            cfg.n_items = 10  # filled in from the store
        # The LSTM of dual_lstm's short view has a width of its own, which not every encoder has.
        if not (group == "model/encoder" and needed == ["model=dual_lstm"]):
            require_expected(cfg)


@pytest.mark.usefixtures("configuration")
@pytest.mark.parametrize(
    ("overrides", "loss"),
    [
        (["model=gru"], "softmax"),
        (["model=sasrec"], "bce"),
        (["model=sasrec", "loss=softmax"], "softmax"),
        (["loss=gbce", "model=sasrec"], "gbce"),
        (["model=sasrec", "objective=click"], "two_class"),
    ],
)
def test_a_model_may_bring_a_loss_and_whoever_asks_for_another_gets_it(overrides: list[str], loss: str) -> None:
    assert compose("train", overrides).loss.name == loss


@pytest.mark.usefixtures("configuration")
@pytest.mark.parametrize(
    ("model", "loss", "items", "of_its_own"),
    [
        ("gru4rec", "bpr_max", "free", {"bias": True, "start": "random"}),
        ("hgn", "bpr", "free", {"bias": True, "start": "random"}),
        ("shan", "bpr", "free", {"temperature": 0.1, "start": "random"}),
        ("sasrec", "bce", "tied", {"start": "random"}),
        ("narm", "softmax", "tied", {"start": "random"}),
        ("stamp", "softmax", "tied", {"start": "random"}),
        ("bsarec", "softmax", "tied", {"start": "random"}),
        ("lru", "softmax", "tied", {"bias": True}),
        ("tisasrec", "softmax", "tied", {}),
        ("hstu", "softmax", "tied", {}),
        ("slirec", "softmax", "tied", {}),
        ("clsr", "softmax", "tied", {}),
        ("lstur", "softmax", "tied", {}),
    ],
)
def test_a_published_model_ships_with_its_loss_and_its_item_vectors(
    model: str, loss: str, items: str, of_its_own: dict[str, Any]
) -> None:
    usual = {"cosine": False, "temperature": 1.0, "learn_temperature": False, "bias": False, "start": "counts"}
    expected = {"name": items, "tied": items == "tied", **usual, **of_its_own}
    cfg = compose("train", [f"model={model}"])
    assert cfg.loss.name == loss
    assert {key: cfg.model["items"][key] for key in expected} == expected


@pytest.mark.usefixtures("configuration")
@pytest.mark.parametrize("root", ROOTS)
def test_every_root_writes_runs_where_the_house_rules_say(root: str) -> None:
    cfg = compose(root, return_hydra_config=True)
    choices = cfg.hydra.runtime.choices
    expected = ("reading", "screen") if root == "audit" else ("default", "quiet")
    assert (choices["hydra"], choices["hydra/job_logging"]) == expected
    assert cfg.hydra.job.chdir is False


@pytest.mark.parametrize("root", ROOTS)
def test_every_command_prints_its_configuration(root: str, run: Callable[..., Result]) -> None:
    result = run(root.replace("_", "-"), "--cfg", "job")
    assert result.exit_code == 0
    with initialize_config_module("ltsi.conf", version_base="1.3"):
        assert OmegaConf.create(result.stdout) == compose(root)
