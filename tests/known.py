"""Packages with tiny known networks, in the place of those of the index: where tests run, none need be installed."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
from pathlib import Path

import pytest
import safetensors.torch
import torch

from automl.models.known import origins
from automl.models.known.efficientnet_lite import EfficientNetLite0

WORDS = ["good", "bad", "film", "the", "a", "very", "not", "dull", "fine", "##ly", "##s", "plot", ".", "!"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]
WIDTH, LAYERS = 24, 2


def bert_state(layers: int = LAYERS, words: int = len(VOCABULARY), seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights of a small BERT, named as Hugging Face names them."""
    generator = torch.Generator().manual_seed(seed)
    rows = {"word": words, "position": 200, "token_type": 2}
    shapes: dict[str, tuple[int, ...]] = {f"embeddings.{n}_embeddings.weight": (k, WIDTH) for n, k in rows.items()}
    norms, dense = ["embeddings.LayerNorm"], dict[str, tuple[int, int]]()
    for i in range(layers):
        at = f"encoder.layer.{i}."
        norms += [f"{at}attention.output.LayerNorm", f"{at}output.LayerNorm"]
        dense |= {
            f"{at}attention.{n}": (WIDTH, WIDTH) for n in ("self.query", "self.key", "self.value", "output.dense")
        }
        dense |= {f"{at}intermediate.dense": (48, WIDTH), f"{at}output.dense": (WIDTH, 48)}
    for name, shape in dense.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    state = {name: torch.randn(shape, generator=generator) * 0.2 for name, shape in shapes.items()}
    for name in norms:
        state |= {f"{name}.weight": torch.ones(WIDTH), f"{name}.bias": torch.zeros(WIDTH)}
    return state


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, *, broken: bool = False) -> None:
    """Both packages, as if they were installed. ``broken``: their files are not those that are known."""
    found = []
    for package in origins.PACKAGES:
        module = f"tiny_{package.modality}"
        (folder / module).mkdir(parents=True)
        (folder / module / "__init__.py").write_text("raise SystemExit('nothing of it is imported')\n")
        if package.modality == "text":
            files = {"weights": "model.safetensors", "vocabulary": "vocab.txt"}
            safetensors.torch.save_file(bert_state(), folder / module / files["weights"])
            (folder / module / files["vocabulary"]).write_text("\n".join(VOCABULARY) + "\n")
        else:
            files = {"weights": "net.pth"}
            torch.manual_seed(0)
            torch.save(EfficientNetLite0().state_dict(), folder / module / files["weights"])
        digests = {
            what: (name, "0" * 64 if broken else hashlib.sha256((folder / module / name).read_bytes()).hexdigest())
            for what, name in files.items()
        }
        found.append(dataclasses.replace(package, module=module, files=digests))
    monkeypatch.setattr(origins, "PACKAGES", tuple(found))
    monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
    for cached in (origins._folder, origins.digest_of):
        cached.cache_clear()
