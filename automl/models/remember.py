"""Fixed features of a row are computed once, however many epochs ask for them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

_measured = False  # nothing is remembered while somebody measures


@contextmanager
def nothing_remembered() -> Iterator[None]:
    """Inside, every answer is computed, in this process: the time of a row that is remembered says nothing."""
    global _measured
    before, _measured = _measured, True
    try:
        yield
    finally:
        _measured = before


def measuring() -> bool:
    """Whether somebody measures what an answer costs: then it must cost what the exported graph's does."""
    return _measured


def may_recall(x: Tensor) -> bool:
    """Whether the answers to these rows may come from memory."""
    return not (_measured or torch.compiler.is_exporting() or x.device.type != "cpu" or x.requires_grad)


def exactly(body: nn.Module, x: Tensor) -> Tensor:
    """The answers of a module that is not trained, as the exported graph will give them: a GPU that trains others in
    mixed precision would round them, and no training makes up for that.
    """
    if torch.compiler.is_exporting() or not torch.amp.is_autocast_available(x.device.type):
        return body(x)
    with torch.autocast(x.device.type, enabled=False):
        return body(x)


def row_keys(x: Tensor) -> list[bytes]:
    """16 bytes that tell each row from all others."""
    flat = x.detach().reshape(len(x), -1).contiguous().numpy()
    return [hashlib.blake2b(row.data, digest_size=16).digest() for row in flat]


class Remember(nn.Module):
    """A module without trained weights whose answers for rows seen before come from memory.

    On a CPU only; a graph that is exported holds the body alone. At most ``megabytes`` are kept: what comes after is
    computed each time. Copies and pickles start empty, and so does a network that was given the state of another body.
    """

    def __init__(self, body: nn.Module, megabytes: int = 256) -> None:
        super().__init__()
        if any(p.requires_grad for p in body.parameters()):
            raise ValueError("only what is not trained may be remembered")
        self.body = body
        self.room = megabytes * 2**20
        self.known: dict[bytes, Tensor] = {}
        self.of = b""  # the body whose answers they are
        self.register_load_state_dict_post_hook(_forget)

    def forward(self, x: Tensor) -> Tensor:
        """(rows, ...) -> (rows, ...), each row on its own."""
        if not may_recall(x):
            return exactly(self.body, x)
        keys = row_keys(x)
        new = [i for i, key in enumerate(keys) if key not in self.known]
        if len(new) == len(x):
            fresh = exactly(self.body, x)
            self.keep(keys, fresh)
            return fresh
        answers = [self.known.get(key) for key in keys]
        if new:
            fresh = exactly(self.body, x[new])
            self.keep([keys[i] for i in new], fresh)
            for i, answer in zip(new, fresh, strict=True):
                answers[i] = answer
        return torch.stack([a for a in answers if a is not None])

    def keep(self, keys: list[bytes], answers: Tensor) -> None:
        if not self.known:
            self.of = self.fingerprint()
        for key, answer in zip(keys, answers, strict=True):
            size = answer.numel() * answer.element_size()
            if self.room < size:
                return
            if key not in self.known:
                self.known[key] = answer.detach().clone()
                self.room -= size

    def fingerprint(self) -> bytes:
        """The same for two bodies with the same state."""
        digest = hashlib.blake2b(digest_size=16)
        for name, tensor in self.body.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return digest.digest()

    def forget(self) -> None:
        """Start empty: the body has changed."""
        self.room += sum(a.numel() * a.element_size() for a in self.known.values())
        self.known = {}

    def __getstate__(self) -> dict[str, Any]:
        kept = sum(a.numel() * a.element_size() for a in self.known.values())
        return {**self.__dict__, "known": {}, "room": self.room + kept}


def _forget(module: nn.Module, keys: Any) -> None:
    """Cross-validation sets a network back to its first weights again and again: the fixed body stays as it was."""
    assert isinstance(module, Remember)
    if module.known and module.fingerprint() != module.of:
        module.forget()
