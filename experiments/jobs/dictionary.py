"""A job as a dictionary, checked value by value, and the configuration that it means.

    {"data": "digits", "layers": ["Flatten", {"Linear": {"out_features": "auto"}}],
     "optimizer": {"AdamW": {"lr": 0.001}}, "criterion": "CrossEntropyLoss", "batch_size": 64, "epochs": 10}

From a server, Python and Hydra it is read here, so it is the same training. Nothing in it is looked up but by tables:
names of layers, families, optimizers, data. A fault is a LayerError: its place as a JSON pointer, and a fix.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig, open_dict

from automl.data.augment import STRENGTHS
from automl.errors import UserError
from automl.models.listed.errors import LayerError
from automl.models.listed.read import read as read_layers
from automl.models.listed.read import shown
from experiments.compose import composed
from experiments.configuration import CONF, options_of
from experiments.jobs.data import Found

TRAINING = {
    "criterion": "loss",
    "optimizer": "optimizer",
    "schedule": "schedule",
    "batch_size": "batch_size",
    "learning_rate": "learning_rate",
    "transforms": "augment",
}
"""What a dictionary says of the training, and what the program calls it."""
NAMES = (
    *("data", "target", "layers", "model", *TRAINING, "epochs", "trials", "seconds", "seed", "metric", "labels"),
    "name",
)
# Defaults and limits of what a client asks for, told in docs/jobs.md. By judgement: a first answer in minutes, and no
# more than a person may have meant.
SECONDS = 300.0
MOST_SECONDS = 30 * 86400.0
EPOCHS, MOST_EPOCHS = 10, 1000
MOST_TRIALS = 100
CHOICES = 10  # trainings of a list that holds choices, unless it is said
_PLACES = ((r"^(task\.)?metric\b", "/metric"), (r"data\.target", "/target"))
"""Where a line belongs that the program tells of one of its own options."""
MOST_DEPTH, MOST_VALUES, MOST_TEXT, MOST_LABELS = 40, 20_000, 2000, 1000


@dataclass(frozen=True)
class Wanted:
    """``training``: as of ``nas.given``. ``trials``: None for one of a model, and the choices of a list."""

    data: Any
    target: str | None = None
    layers: Sequence[Any] | None = None
    model: str | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    epochs: int = EPOCHS
    trials: int = 1
    seconds: float = SECONDS
    seed: int = 0
    metric: str | None = None
    labels: Mapping[str, str] | Sequence[str] | None = None
    name: str | None = None


def models() -> list[str]:
    """The families that may be named: those whose options all have a value."""
    return [name for name in options_of("family") if "???" not in (CONF / f"family/{name}.yaml").read_text()]


def read(asked: Any, *, most_seconds: float = MOST_SECONDS) -> Wanted:
    """Raises LayerError for what is no job. ``most_seconds``: that one may take."""
    if not isinstance(asked, Mapping):
        raise LayerError("", f"{shown(asked)} is no dictionary", 'Write {"data": NAME, "layers": [...]}')
    for name in asked:
        if name not in NAMES:
            raise LayerError(f"/{_key(name)}", "there is no such name", f"Names: {', '.join(NAMES)}")
    plain = {name: value for name, value in asked.items() if name != "data" and value is not None}
    _refuse_odd(plain)
    if asked.get("data") is None:
        raise LayerError("/data", "it is missing", "Write the name of data, such as digits")
    if ("layers" in plain) == ("model" in plain):
        raise LayerError("/layers", "a job needs layers or a model, and not both", 'Write "layers": [...]')
    if "layers" in plain and not read_layers(plain["layers"]).layers:
        raise LayerError("/layers", "the list is empty", "Write at least {Linear: {out_features: auto}}")
    if "model" in plain and plain["model"] not in models():
        raise LayerError("/model", f"{shown(plain['model'])} is no family", f"Write one of {', '.join(models())}")
    few = CHOICES if "layers" in plain else 1
    return Wanted(
        data=asked["data"],
        target=_text(plain, "target"),
        layers=plain.get("layers"),
        model=plain.get("model"),
        training={of: _training(name, plain[name]) for name, of in TRAINING.items() if name in plain},
        epochs=_whole(plain, "epochs", EPOCHS, 1, MOST_EPOCHS),
        trials=_whole(plain, "trials", few, 1, MOST_TRIALS),
        seconds=_seconds(plain, most_seconds),
        seed=_whole(plain, "seed", 0, 0, 2**32 - 1),
        metric=_text(plain, "metric"),
        labels=_labels(plain.get("labels")),
        name=_text(plain, "name", 80),
    )


def config(wanted: Wanted, data: Mapping[str, Any] | None, overrides: Sequence[str] = ()) -> DictConfig:
    """The whole configuration. ``data``: the node of its source, None: as ``overrides`` (of a command line) say."""
    family = "layers" if wanted.layers is not None else f"[{wanted.model}]"
    learner = "uniform" if wanted.layers is not None else "practice"
    words = ["+experiment=level1", f"family={family}", f"metalearner={learner}", "engine=sequential", "tracker=none"]
    cfg = composed([*words, *overrides])
    with open_dict(cfg):
        if data is not None:
            cfg.data = {n: v.replace("${", "\\${") if isinstance(v, str) else v for n, v in data.items()}
        of = cfg.family.layers if wanted.layers is not None else cfg.family[str(wanted.model)]
        if wanted.layers is not None:
            of.layers = wanted.layers
        of.training = dict(wanted.training)
        cfg.budget = {"trials": wanted.trials, "seconds": wanted.seconds, "epochs": wanted.epochs}
        cfg.seed = wanted.seed
        cfg.task.metric = wanted.metric
    return cfg


def source_node(found: Found, target: str | None) -> dict[str, Any]:
    """The node of a source for data that are known by name. Raises LayerError where they take no target."""
    if found.kind == "toy":
        node: dict[str, Any] = {"_target_": "automl.data.sources.sklearn.SklearnSource", "name": found.name}
    elif found.kind == "folder" and found.path is not None:
        sounds = any(f.suffix.lower() == ".wav" for f in found.path.glob("*/*")) or any(
            found.path.glob("train/*/*.wav")
        )
        kind = "audio_folder.AudioFolderSource" if sounds else "image_folder.ImageFolderSource"
        node = {"_target_": f"automl.data.sources.{kind}", "path": str(found.path), "name": found.name}
    else:
        node = {"_target_": "automl.data.sources.file.FileSource", "path": str(found.path), "name": found.name}
        return node | {"target": target}
    if target is not None:
        raise LayerError("/target", f"{found.name} has one target of its own", "Leave it out")
    return node


@contextmanager
def placed(at: str) -> Iterator[None]:
    """What goes wrong inside is told as a fault at this place, and in the dictionary's own words."""
    try:
        yield
    except LayerError as error:
        raise LayerError(_place(error.path), error.problem, error.fix) from error
    except UserError as error:
        raise fault(at, str(error)) from error


def fault(at: str, line: str) -> LayerError:
    """A line of the house, which says the fix last: after a full stop, or a semicolon."""
    at = next((place for sign, place in _PLACES if re.search(sign, line)), at)
    for sign in (". ", "; "):
        problem, found, fix = line.rpartition(sign)
        if found:
            return LayerError(at, problem, fix[:1].upper() + fix[1:])
    return LayerError(at, line, "Write another one")


def _place(path: str) -> str:
    for name, of in TRAINING.items():
        if path == f"/training/{of}" or path.startswith(f"/training/{of}/"):
            return f"/{name}{path.removeprefix(f'/training/{of}')}"
    return path


def _training(name: str, value: Any) -> Any:
    """As ``nas.given`` takes it: torch's own names without arguments are written with none."""
    many = value if isinstance(value, list | tuple) else [value]
    words = [v for v in many if isinstance(v, str) and not v[:1].isupper()]
    if name == "transforms" and (not many or any(v not in STRENGTHS for v in words)):
        fix = f"Write one of {', '.join(STRENGTHS)}, or [{{RandomHorizontalFlip: {{p: 0.5}}}}, ...]"
        raise LayerError("/transforms", f"{shown(value)} is not known", fix)
    said = [{v: {}} if isinstance(v, str) and v[:1].isupper() else v for v in many]
    return said if isinstance(value, list | tuple) else said[0]


def _refuse_odd(value: Any, path: str = "", depth: int = 0, count: list[int] | None = None) -> None:
    """Raises LayerError for what is not plain, and for texts and names that the configuration takes for more."""
    count = [0] if count is None else count
    count[0] += 1
    if depth > MOST_DEPTH:
        raise LayerError(
            path[:200], f"it is nested more than {MOST_DEPTH} deep", "Write fewer blocks in blocks, or Repeat"
        )
    if count[0] > MOST_VALUES:
        raise LayerError(path[:200], f"there are more than {MOST_VALUES:,} values", "Write fewer, or Repeat")
    if isinstance(value, str):
        if len(value) > MOST_TEXT or "${" in value or value == "???" or "\0" in value:
            raise LayerError(path, f"{shown(value)} is no text that can stand here", "Write another one")
    elif isinstance(value, Mapping):
        for name, one in value.items():
            if not isinstance(name, str) or name.startswith("_") or "${" in name or len(name) > MOST_TEXT:
                raise LayerError(f"{path}/{_key(name)}", "it is no name", "Write the name of something that is listed")
            _refuse_odd(one, f"{path}/{name}", depth + 1, count)
    elif isinstance(value, list | tuple):
        for at, one in enumerate(value):
            _refuse_odd(one, f"{path}/{at}", depth + 1, count)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise LayerError(path, f"{value} is no finite number", "Write a number")
    elif not isinstance(value, bool | int):
        raise LayerError(path, f"{shown(value)} is no plain value", "Write a text, a number, a list or a dictionary")


def _key(name: Any) -> str:
    """A name in a place: as it is, where it is a text."""
    return name[:80] if isinstance(name, str) else shown(name)


def _text(plain: Mapping[str, Any], name: str, most: int = MOST_TEXT) -> str | None:
    value = plain.get(name)
    if value is not None and (not isinstance(value, str) or not value or len(value) > most):
        raise LayerError(
            f"/{name}", f"{shown(value)} is no text of 1 to {most} characters", "Write one, or leave it out"
        )
    return value


def _whole(plain: Mapping[str, Any], name: str, default: int, low: int, high: int) -> int:
    value = plain.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise LayerError(f"/{name}", f"{shown(value)} does not fit", f"Write a whole number from {low} to {high:,}")
    return value


def _seconds(plain: Mapping[str, Any], most: float) -> float:
    value = plain.get("seconds", min(SECONDS, most))
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
        raise LayerError("/seconds", f"{shown(value)} does not fit", f"Write a number above 0, at most {most:g}")
    return float(value)


def _labels(value: Any) -> Mapping[str, str] | Sequence[str] | None:
    if value is None:
        return None
    fix = 'Write {"VALUE": "NAME", ...}, or names in the order of the classes'
    if not isinstance(value, Mapping | list | tuple) or not 1 <= len(value) <= MOST_LABELS:
        raise LayerError("/labels", f"{shown(value)} names no classes", fix)
    names = list(value.values()) if isinstance(value, Mapping) else list(value)
    if not all(isinstance(name, str) and 1 <= len(name) <= 80 for name in names):
        raise LayerError("/labels", f"{shown(value)} holds what is no name", fix)
    if len(set(names)) < len(names):
        raise LayerError("/labels", "two classes have one name", "Give each a name of its own")
    return value
