from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from ltsi.errors import ConfigError, DataError
from ltsi.features.buckets import Buckets
from ltsi.features.categorical import Categorical
from ltsi.features.cross import Cross
from ltsi.features.declarations import Declared, read_declarations
from ltsi.features.numeric import Numeric
from ltsi.sequences.split import Split
from ltsi.store import Store

EVENTS = [[(0, 1), (1, 2), (0, 3)], [(1, 1), (0, 2), (0, 3)]]


@pytest.fixture
def store(make_split: Callable[..., Split]) -> Store:
    items = {"category": ["a", "b"], "price": [1.0, 2.0], "keywords": [["x"], ["y"]], "content": [[0.5], [1.5]]}
    store: Store = make_split(*EVENTS, items=items, of_users={"segment": ["s", "t"]}).store
    return store


def test_the_forms_of_a_feature(store: Store) -> None:
    declarations = read_declarations(
        {
            "item": {
                "category": "categorical",
                "price": {"kind": "numeric", "scale": "log1p"},
                "level": {"kind": "buckets", "column": "price", "buckets": 4},
                "item": "categorical",
            },
            "event": {"hour": "hour_of_day", "weekday": {"kind": "day_of_week"}},
            "cross": [["item.category", "event.hour"], {"of": ["item.item", "item.level"], "buckets": 9}],
        },
        store,
    )
    assert declarations.item == (
        Declared("item.category", "category", "categorical", Categorical()),
        Declared("item.price", "price", "numeric", Numeric(scale="log1p")),
        Declared("item.level", "price", "buckets", Buckets(buckets=4)),
        Declared("item.item", "item", "categorical", Categorical()),
    )
    assert declarations.user == ()
    assert declarations.event == {"event.hour": "hour_of_day", "event.weekday": "day_of_week"}
    assert declarations.cross == (Cross(("item.category", "event.hour")), Cross(("item.item", "item.level"), 9))


def test_auto_declares_every_column_but_the_id(make_split: Callable[..., Split]) -> None:
    columns = {
        "text": ["a", "b"],
        "enum": pl.Series(["a", "b"], dtype=pl.Enum(["a", "b"])),
        "flag": [True, False],
        "empty": [None, None],
        "whole": [1, 2],
        "number": [0.5, 1.5],
        "day": [date(2024, 1, 1), date(2024, 1, 2)],
        "moment": pl.Series([1, 2], dtype=pl.Datetime("ms")),
        "words": [["a"], ["b"]],
        "ids": [[1], [2]],
        "floats": [[0.5], [1.5]],
        "array": pl.Series([[0.5], [1.5]], dtype=pl.Array(pl.Float32, 1)),
    }
    store = make_split(*EVENTS, items=columns).store
    declared = read_declarations({"item": "auto", "user": "auto"}, store)
    kinds = ["categorical"] * 4 + ["numeric"] * 4 + ["tags"] * 2 + ["vector"] * 2
    assert {feature.column: feature.kind for feature in declared.item} == dict(zip(columns, kinds, strict=True))
    assert declared.user == ()


def test_auto_refuses_a_column_of_no_kind(make_split: Callable[..., Split]) -> None:
    store = make_split(*EVENTS, items={"age": [timedelta(days=1), timedelta(days=2)]}).store
    with pytest.raises(ConfigError, match=r"features\.item=auto has no kind for column 'age', which holds Duration"):
        read_declarations({"item": "auto"}, store)


@pytest.mark.parametrize("option", ["none", "auto"])
def test_the_shipped_options(option: str, store: Store) -> None:
    with initialize_config_module("ltsi.conf", version_base="1.3"):
        config: Any = OmegaConf.to_container(compose("audit", [f"features={option}"]).features)
    declared = read_declarations(config, store)
    named = [feature.name for feature in (*declared.item, *declared.user)]
    every = ["item.category", "item.price", "item.keywords", "item.content", "user.segment"]
    assert named == (every if option == "auto" else [])
    assert (declared.event, declared.cross) == ({}, ())


def test_features_are_declared_on_the_command_line(store: Store) -> None:
    overrides = ["features=none", "features.item={price: {kind: numeric, scale: robust}}"]
    overrides += ["features.event={hour: hour_of_day}", "features.cross=[]"]
    with initialize_config_module("ltsi.conf", version_base="1.3"):
        config: Any = OmegaConf.to_container(compose("audit", overrides).features)
    declared = read_declarations(config, store)
    assert declared.item == (Declared("item.price", "price", "numeric", Numeric(scale="robust")),)
    assert declared.event == {"event.hour": "hour_of_day"}


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"items": {}}, "features has no part 'items'. Did you mean 'item'? There are: item, user, event, cross."),
        ({"item": {"prize": "numeric"}}, "features.item.prize: the items of store 'log' have no column 'prize'. Did"),
        ({"item": {"prize": "numeric"}}, "Did you mean 'price'? They have: item, category, price, keywords, content."),
        ({"user": {"age": "numeric"}}, "the users of store 'log' have no column 'age'. They have: user, segment."),
        ({"item": {"p": {"kind": "numeric", "column": "pric"}}}, "no column 'pric'. Did you mean 'price'?"),
        ({"item": {"price": "numerc"}}, "features.item.price: there is no kind 'numerc'. Did you mean 'numeric'?"),
        ({"item": {"price": "hour_of_day"}}, "There are: categorical, numeric, buckets, tags, vector."),
        ({"item": {"price": {"scale": "log1p"}}}, "features.item.price has no kind. There are: categorical, "),
        ({"item": {"price": None}}, "features.item.price has no kind"),
        ({"item": {"price": {"kind": "numeric", "scal": 1}}}, "numeric has no option 'scal'. Did you mean 'scale'?"),
        ({"item": {"content": {"kind": "vector", "length": 1}}}, "vector has no option 'length'. It takes none."),
        ({"item": "all"}, "features.item=all is not of the form {NAME: KIND, or auto}."),
        ({"item": ["price"]}, "features.item=['price'] is not of the form"),
        ({"event": "auto"}, "features.event=auto is not of the form {NAME: KIND}."),
        ({"event": {"h": "hour"}}, "features.event.h: there is no kind 'hour'"),
        ({"event": {"h": {"kind": "hour_of_day", "zone": 1}}}, "hour_of_day has no option 'zone'. It takes none."),
        ({"cross": "item.a"}, "features.cross is a list such as [[user.segment, item.category]], not 'item.a'."),
        ({"cross": ["item.a"]}, "features.cross[0] names no features"),
        ({"cross": [{"buckets": 3}]}, "features.cross[0] names no features"),
        ({"cross": [["item.category", "user.segment"]]}, "features.cross[0]: no feature 'item.category' is declared."),
        ({"item": {"category": "categorical"}, "cross": [["item.categori"]]}, "Did you mean 'item.category'?"),
        ({"item": {"price": "numeric"}, "cross": [["item.price"]]}, "item.price is of kind numeric, which cannot be"),
    ],
)  # fmt: skip
def test_mistakes_are_named(config: dict[str, Any], told: str, store: Store) -> None:
    with pytest.raises(ConfigError) as refused:
        read_declarations(config, store)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("cross", "told"),
    [
        (["item.category"], "features.cross[0]: of must name two different features or more."),
        (["item.category", "item.category"], "of must name two different features or more."),
        (
            {"of": ["item.category", "user.segment"], "bucket": 3},
            "cross has no option 'bucket'. Did you mean 'buckets'?",
        ),
        ({"of": ["item.category", "user.segment"], "buckets": 1}, "buckets=1 must be a whole number from 2."),
        ({"of": ["item.category", "user.segment"], "buckets": 9, "min_count": 2}, "min_count goes with combinations"),
    ],
)
def test_mistakes_in_crosses_are_named(cross: Any, told: str, store: Store) -> None:
    config = {"item": {"category": "categorical"}, "user": {"segment": "categorical"}, "cross": [cross]}
    with pytest.raises(ConfigError) as refused:
        read_declarations(config, store)
    assert told in str(refused.value)


def test_a_cross_is_declared_once(store: Store) -> None:
    pair = ["item.category", "user.segment"]
    config = {"item": {"category": "categorical"}, "user": {"segment": "categorical"}, "cross": [pair, pair]}
    with pytest.raises(ConfigError, match=r"features\.cross\[1\] crosses item\.category × user\.segment a second time"):
        read_declarations(config, store)


def test_times_need_a_clock(make_split: Callable[..., Split]) -> None:
    store = make_split(*EVENTS, items={"x": [1, 2]}, clock=False).store
    with pytest.raises(DataError, match=r"features\.event\.hour needs times"):
        read_declarations({"event": {"hour": "hour_of_day"}}, store)
