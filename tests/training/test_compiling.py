"""Compiled encoders against the same encoders as they are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hydra import compose, initialize_config_module
from torch import Tensor

from ltsi.errors import ConfigError
from ltsi.histories import Histories
from ltsi.models.encoding import encode
from ltsi.models.fusion import Concat
from ltsi.models.items import Items
from ltsi.models.lstm import LstmEncoder
from ltsi.models.network import SequenceNetwork
from ltsi.models.popularity import Popularity
from ltsi.models.transformer import Transformer, TransformerEncoder
from ltsi.models.two_views import TwoViews
from ltsi.models.views import LastEvents
from ltsi.training.compiling import compile_encoders
from ltsi.workflows.build import build

# Torch's compilers import old parts of torch, and look at gradients that are not there.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
]

ITEMS = 20


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Leave nothing compiled to the tests that come later."""
    yield
    torch.compiler.reset()


def network(dropout: float) -> SequenceNetwork:
    torch.manual_seed(0)
    return Transformer(Items(ITEMS, 8), 9, 8, layers=1, heads=2, dropout=dropout, embedding_dropout=dropout).train()


def states_and_gradients(model: SequenceNetwork, *sizes: tuple[int, int]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Encodes groups of some histories of a length each, with the same dropout every time."""
    generator, groups = torch.Generator().manual_seed(3), []
    for batch, length in sizes:
        item_BL = torch.randint(ITEMS, (batch, length), generator=generator)
        length_B = torch.full((batch,), length)
        groups.append(Histories(item_BL, torch.zeros_like(item_BL), length_B, torch.zeros_like(item_BL)))
    torch.manual_seed(7)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    state_ND = encode(model.states, groups, parameters)
    return state_ND, torch.autograd.grad(state_ND.square().sum(), parameters)


def assert_the_same(model: SequenceNetwork, backend: str, *sizes: tuple[int, int]) -> None:
    names = list(model.state_dict())
    state_ND, gradients = states_and_gradients(model, *sizes)
    compile_encoders(model, backend)
    assert list(model.state_dict()) == names
    torch._dynamo.utils.counters.clear()
    compiled_ND, compiled = states_and_gradients(model, *sizes)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    torch.testing.assert_close(compiled_ND, state_ND, rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(compiled, gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_compiled_encoders_give_the_same_states_and_gradients() -> None:
    assert_the_same(network(dropout=0.0), "inductor", (2, 9))


def test_compiled_encoders_drop_the_same_elements_on_every_thread() -> None:
    assert_the_same(network(dropout=0.5), "eager", (2, 9), (3, 5))


def test_no_backend_compiles_nothing() -> None:
    model = network(dropout=0.5)
    compile_encoders(model, None)
    torch._dynamo.utils.counters.clear()
    states_and_gradients(model, (2, 9))
    assert not torch._dynamo.utils.counters["stats"]


@pytest.mark.parametrize("name", ["gru", "lstm_attention", "lru", "time_lstm"])
def test_what_goes_step_by_step_is_not_compiled(name: str) -> None:
    with initialize_config_module("ltsi.conf", version_base="1.3"):
        model = build(compose("train", [f"model={name}", "n_items=20"]).model)
    with pytest.raises(ConfigError, match=r"torch cannot compile what runs step by step \(.*Encoder\)"):
        compile_encoders(model, "eager")


def test_a_view_that_goes_step_by_step_stays_as_it_is() -> None:
    long, short = LstmEncoder(8, 8, 1, 0.0), TransformerEncoder(8, 1, 2, 0.0, 9)
    both = TwoViews(Items(ITEMS, 8), long, short, Concat(8), LastEvents(4), 8, 4, 0.0)
    compile_encoders(both, "eager")
    assert [each._compiled_call_impl is None for each in (long, short)] == [True, False]


def test_a_backend_that_is_not_there_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"compile=indctor is not a torch\.compile backend; this installation has: .*inductor"
    ):
        compile_encoders(network(dropout=0.5), "indctor")


def test_a_model_without_encoders_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Popularity has no encoder to compile; leave compile=null"):
        compile_encoders(Popularity(n_items=ITEMS), "aot_eager")
