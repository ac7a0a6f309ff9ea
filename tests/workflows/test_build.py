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


def test_arguments_that_do_not_fit_are_a_mistake_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match=r"core has no setting 'users'; leave out what sets it"):
        build(node(name="core", users=2))
