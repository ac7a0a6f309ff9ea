from typing import Any

import pytest
from omegaconf import OmegaConf

from ltsi.errors import ConfigError
from ltsi.preparation.cleaning.k_core import KCore
from ltsi.workflows.build import build


def node(**settings: Any) -> Any:
    return OmegaConf.create({"_target_": "ltsi.preparation.cleaning.k_core.KCore", **settings})


def test_a_node_is_instantiated_with_further_arguments() -> None:
    assert build(node(user=2), item=3) == KCore(user=2, item=3)


def test_a_name_is_a_label() -> None:
    assert build(node(name="core", user=2)) == KCore(user=2)


def test_a_node_may_hold_nodes_by_name() -> None:
    assert build(OmegaConf.create({"name": node(name="core")})) == {"name": KCore()}
    assert build(OmegaConf.create({})) == {}


def test_a_refusal_of_the_target_comes_through_as_it_is() -> None:
    with pytest.raises(ConfigError, match=r"clean\.k_core\.user=0 must be at least 1"):
        build(node(user=0))


def test_a_setting_that_there_is_not_is_named_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"^core has no setting 'users'\. Did you mean 'user'\?$"):
        build(node(name="core", users=2))
    steps = OmegaConf.create({"clean": {"k_core": node(k=2)}})
    with pytest.raises(
        ConfigError, match=r"^clean\.k_core has no setting 'k'; remove the override .* that sets it\. It has: user, i"
    ):
        build(steps.clean)


def test_a_value_of_another_kind_is_named_where_it_stands_and_before_anything_is_built() -> None:
    cfg = OmegaConf.create({"clean": {"k_core": node(user="many")}, "least": "few", "core": node(item="${least}")})
    with pytest.raises(ConfigError, match=r"^clean\.k_core\.user=many must be a whole number\.$"):
        build(cfg.clean)
    with pytest.raises(ConfigError, match=r"^least=few must be a whole number, for core\.item\.$"):
        build(cfg.core)
    with pytest.raises(ConfigError, match=r"\.user=null must be a whole number"):
        build(node(user=None))


def test_what_a_component_refuses_says_where_it_stands() -> None:
    failing = OmegaConf.create({"clean": {"broken": {"_target_": "json.loads", "s": "{"}}})
    with pytest.raises(ConfigError, match=r"^clean\.broken cannot be built: Expecting property name"):
        build(failing.clean)
