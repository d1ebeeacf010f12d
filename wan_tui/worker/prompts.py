"""Encoded prompts that are kept: a prompt that comes again needs no text encoder."""

from collections import OrderedDict
from dataclasses import dataclass

import torch

from wan_tui.core.words import Quantization

# 512 tokens of 4096 values in 16 bit, twice: 8 MiB a prompt.
PROMPTS_KEPT = 16


@dataclass(frozen=True, slots=True)
class PromptKey:
    """What an encoding depends on. ``negative_prompt`` is None where no guidance needs it."""

    prompt: str
    negative_prompt: str | None
    quantization: Quantization


@dataclass(frozen=True, slots=True)
class Encoded:
    prompt: torch.Tensor
    negative: torch.Tensor | None

    def to(self, device: torch.device) -> "Encoded":
        """The same values on ``device``."""
        return Encoded(self.prompt.to(device), None if self.negative is None else self.negative.to(device))

    def repeated(self, times: int) -> "Encoded":
        """The same prompt for each of several videos."""
        if times == 1:
            return self
        negative = None if self.negative is None else self.negative.repeat(times, 1, 1)
        return Encoded(self.prompt.repeat(times, 1, 1), negative)


class PromptCache:
    """The prompts that were used last, in host memory; the one that was not used for longest goes first."""

    def __init__(self, kept: int = PROMPTS_KEPT) -> None:
        self._kept = kept
        self._encoded: OrderedDict[PromptKey, Encoded] = OrderedDict()

    def get(self, key: PromptKey) -> Encoded | None:
        found = self._encoded.get(key)
        if found is not None:
            self._encoded.move_to_end(key)
        return found

    def put(self, key: PromptKey, encoded: Encoded) -> None:
        self._encoded[key] = encoded.to(torch.device("cpu"))
        self._encoded.move_to_end(key)
        while len(self._encoded) > self._kept:
            self._encoded.popitem(last=False)
