"""Modules with statistics: buffers whose shapes the training data gives."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Fitted(nn.Module):
    """A module whose buffers take the shapes of those that are read back: a freshly built one cannot know them."""

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for name, buffer in self._buffers.items():
            stored = state_dict.get(prefix + name)
            if buffer is not None and stored is not None and buffer.shape != stored.shape:
                self._buffers[name] = torch.empty_like(stored, device=buffer.device)
        super()._load_from_state_dict(state_dict, prefix, *args)
