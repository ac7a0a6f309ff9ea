"""Shell completion of groups, options and keys, as the shells ask for it."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Run = Callable[..., Result]


@pytest.fixture
def bash(run: Run, conf: Path) -> Callable[..., list[str]]:
    """Complete the last word as bash does: `=` is a word of its own."""

    def complete(*words: str) -> list[str]:
        line = ["ltsi", "train", "--config-name", "toy", "--config-dir", str(conf), *words]
        result = run(_LTSI_COMPLETE="complete_bash", COMP_WORDS=" ".join(line), COMP_CWORD=str(len(line) - 1))
        return result.stdout.split()

    return complete


@pytest.mark.parametrize(
    ("words", "candidates"),
    [
        (["pa"], {"part=", "part."}),
        (["part", "="], {"alpha", "beta"}),
        (["part", "=", "b"], {"beta"}),
        (["seed", "=", "3", "part", "="], {"alpha", "beta"}),
        (["~seed", "en"], {"engine=", "engine."}),
        (["part", "=", "beta", "part.l"], {"part.layers=2"}),
        (["engine.m"], {"engine.max_epochs=3"}),
        (["engine."], {"engine.max_epochs=", "engine.devices="}),
        (["see"], {"seed=1"}),
        (["hydra.verb"], {"hydra.verbose=false"}),
        (["no_such_key"], set()),
        (["part", "=", "none", "pa"], {"part=beta", "part=alpha"}),
        (["--multi"], {"--multirun"}),
    ],
)
def test_bash(words: list[str], candidates: set[str], bash: Callable[..., list[str]]) -> None:
    assert set(bash(*words)) == candidates


def test_empty_word_offers_keys_but_not_those_of_hydra(bash: Callable[..., list[str]]) -> None:
    offered = bash("")
    assert {"part=", "engine.", "data=", "seed="} <= set(offered)
    assert not any(word.startswith("hydra") for word in offered)


def test_zsh_keeps_the_word_whole(run: Run, conf: Path) -> None:
    line = f"ltsi train --config-dir {conf} --config-name toy part="
    result = run(_LTSI_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS=line)
    assert '"part=beta"' in result.stdout
    assert '"part=alpha"' in result.stdout


def test_broken_configuration_completes_to_nothing(bash: Callable[..., list[str]], conf: Path) -> None:
    (conf / "toy.yaml").write_text("defaults: [{part: alpha}\n")
    assert bash("part") == []


def test_stores_and_forms_and_data_sets_by_name(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LTSI_DATA", str(folder))
    for store in ("shop", "2024_05", "mine"):
        (folder / "prepared" / store).mkdir(parents=True)
        (folder / "prepared" / store / "manifest.json").touch()

    def zsh(line: str) -> set[str]:
        shown = run(_LTSI_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS=line).stdout
        return set(re.findall(r'"([^"]+)"', shown))

    assert zsh("ltsi train data=") == {"data=2024_05", "data=mine", "data=shop"}
    assert zsh("ltsi audit data=sh") == {"data=shop"}
    assert zsh("ltsi train -m data=shop,m") == {"data=shop,mine"}
    assert {"form=auto", "form=power_cutoff_rise"} <= zsh("ltsi decay-fit form=")
    assert zsh("ltsi decay-fit form=hyperbolic_") == {"form=hyperbolic_rise"}
    assert zsh("ltsi datasets movielens_1m") == {"movielens_1m"}
