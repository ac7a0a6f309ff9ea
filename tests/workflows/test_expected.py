"""Which values of a configuration an annotation, or a default, lets through."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import pytest
from omegaconf import OmegaConf
from torch import Tensor

from ltsi.errors import ConfigError
from ltsi.workflows.expected import fits, require_expected, require_kinds

Refused = Callable[..., str]


class Word(StrEnum):
    one = "one"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, int),
        (3, float),
        (0.5, float),
        (True, bool),
        (1, bool),
        ("a", str),
        # What wants one word of several says which.
        (3, str),
        (None, int | None),
        ("a", int | str),
        ([1, 2], Sequence[int]),
        ([0.9, 0.98], tuple[float, float]),
        (["a"], list[str] | None),
        ({"a": 1}, Mapping[str, float]),
        ("here", Path),
        ("one", Word),
        ("32", Literal[16, 32]),
        (16, Literal[16, 32]),
        (1e-3, float | Tensor),
        ("a", Any),
        ("a", "Unknown"),
        ("a", Callable[[], int]),
    ],
)
def test_fits(value: object, expected: Any) -> None:
    assert fits(value, expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("abc", int),
        (1.5, int),
        (True, int),
        ("abc", float),
        (False, float),
        ("no", bool),
        (2, bool),
        (None, int),
        (None, str),
        ([1], str),
        ("abc", int | None),
        ("abc", Sequence[str]),
        (["a"], Sequence[int]),
        ([1], Mapping[str, int]),
        (8, Literal[16, 32]),
        ("abc", float | Tensor),
    ],
)
def test_does_not_fit(value: object, expected: Any) -> None:
    assert not fits(value, expected)


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("test", "yes", "test=yes must be true or false."),
        ("seed", "abc", "seed=abc must be a whole number."),
        ("share", "abc", "share=abc must be a number."),
    ],
)
def test_a_default_says_what_is_expected(key: str, value: str, sentence: str) -> None:
    defaults = {"test": False, "seed": 1, "share": 0.5, "name": "a", "later": None}
    require_kinds(OmegaConf.create(defaults), defaults)
    with pytest.raises(ConfigError) as refused:
        require_kinds(OmegaConf.create({**defaults, key: value}), defaults)
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["train", "model=ease", "model.l2=abc"], "model.l2=abc must be a number."),
        (["train", "model=gru", "model.wait=no"], "model.wait=no must be true or false."),
        (["train", "model=gru", "dropout=abc"], "dropout=abc must be a number."),
        (["train", "model=gru", "trainer.max_epochs=abc"], "trainer.max_epochs=abc must be a whole number or null."),
        (["train", "model=gru", "optimizer.lr=abc"], "optimizer.lr=abc must be a number."),
        (["train", "model=gru", "early_stopping.patience=abc"], "early_stopping.patience=abc must be a whole number."),
        (
            ["train", "model=lstm_transformer", "model/view=last_days", "model.view.days=abc"],
            "model.view.days=abc must be a number.",
        ),
        (["train", "model=popularity", "test=yes"], "test=yes must be true or false."),
        (["decay-fit", "replicates=abc"], "replicates=abc must be a whole number."),
    ],
)
def test_a_wrong_kind_is_one_sentence(refused: Refused, shop: Path, command: list[str], sentence: str) -> None:
    assert refused(*command, f"data={shop}", exit_code=2) == sentence


def test_a_node_that_stands_for_another_is_checked() -> None:
    component = {"_target_": "ltsi.losses.bce.Bce", "negatives": "many"}
    cfg = OmegaConf.create({"loss": component, "other": {"a": "${loss}"}})
    with pytest.raises(ConfigError, match=r"other\.a\.negatives=many must be a whole number"):
        require_expected(cfg.other)


def test_a_cleaning_step_has_not_a_setting(refused: Refused) -> None:
    command = ("prepare", "source=shop", "clean=k_core", "+clean.k_core.k=12")
    sentence = "clean.k_core has no setting 'k'; remove the override or config group that sets it."
    assert refused(*command, exit_code=2).startswith(sentence)
