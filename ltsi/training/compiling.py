"""`torch.compile` for the part of a network that has the many small operations: its encoders."""

from __future__ import annotations

import torch
from torch import nn

from ltsi.errors import ConfigError
from ltsi.models.network import Encoder


def compile_encoders(model: nn.Module, backend: str | None) -> None:
    """Lets torch compile the encoders of a model when they are first called; names of weights stay as they are.

    What a model computes stays the same up to rounding. Sizes are taken for variable: a new length of histories seldom
    compiles anything anew. Encoders that torch does not compile (`Encoder.compiles`) stay as they are.

    Args:
        model: has encoders, at least one of which torch compiles.
        backend: compiles, such as `inductor`; None: nothing is compiled.

    Raises:
        ConfigError: torch has no such backend, or the model no encoder that it could compile.
    """
    if backend is None:
        return
    if backend not in torch.compiler.list_backends(exclude_tags=()):
        usual = ", ".join(torch.compiler.list_backends())
        raise ConfigError(f"compile={backend} is not a torch.compile backend; this installation has: {usual}.")
    encoders = [module for module in model.modules() if isinstance(module, Encoder)]
    if not encoders:
        raise ConfigError(f"compile={backend}: {type(model).__name__} has no encoder to compile; leave compile=null.")
    compiled = [encoder for encoder in encoders if _compiles(encoder)]
    if not compiled:
        names = ", ".join(sorted({type(encoder).__name__ for encoder in encoders}))
        raise ConfigError(
            f"compile={backend}: torch cannot compile what runs step by step ({names}); leave compile=null."
        )
    for encoder in compiled:
        encoder.compile(backend=backend, dynamic=True)


def _compiles(encoder: Encoder) -> bool:
    """Returns whether torch compiles an encoder with all that it is made of."""
    return all(part.compiles for part in encoder.modules() if isinstance(part, Encoder))
