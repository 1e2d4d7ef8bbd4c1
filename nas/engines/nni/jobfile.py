"""A Job as files and back, for workers that share no memory with the search: JSON and plain arrays, no pickle."""

from __future__ import annotations

import base64
import dataclasses
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from automl.data.dataset import Part
from automl.data.folds import Folds
from automl.errors import UserError
from automl.serial import from_plain, to_plain
from automl.types import Axis, Candidate, Family, Task
from nas.job import Job, Order, Outcome

SIDES = ("train", "valid")  # of a fold


def save_job(job: Job, folder: Path) -> None:
    """Write ``job.json``, ``train.npz`` and ``valid.npz``, with folds ``folds.npz`` too.

    Raises UserError when a family is no dataclass of an importable module, since it travels by name and fields.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in (("train", job.train), ("valid", job.valid)):
        np.savez(folder / f"{name}.npz", **_arrays(part))  # pyright: ignore[reportArgumentType]
    (folder / "folds.npz").unlink(missing_ok=True)  # of an earlier job
    if job.folds is not None:
        pairs = {
            f"{side}{i}": at for i, pair in enumerate(job.folds.pairs) for side, at in zip(SIDES, pair, strict=True)
        }
        np.savez(folder / "folds.npz", **_arrays(job.folds.rows), **pairs)  # pyright: ignore[reportArgumentType]
    plain = {
        "task": to_plain(job.task),
        "families": {name: _describe(name, family) for name, family in job.families.items()},
        "axes": {name: [to_plain(axis) for axis in axes] for name, axes in job.axes.items()},
        "device": job.device,
        "latency": job.latency,
        "barred": job.barred,
    }
    (folder / "job.json").write_text(json.dumps(plain))


def load_job(folder: Path) -> Job:
    """What ``save_job`` wrote."""
    plain = json.loads((folder / "job.json").read_text())
    return Job(
        task=from_plain(Task, plain["task"]),
        train=_part(_read(folder / "train.npz")),
        valid=_part(_read(folder / "valid.npz")),
        families={name: _make(of) for name, of in plain["families"].items()},
        axes={name: tuple(from_plain(Axis, axis) for axis in axes) for name, axes in plain["axes"].items()},
        device=plain["device"],
        latency=plain["latency"],
        barred=tuple(plain["barred"]),
        folds=_folds(_read(folder / "folds.npz")) if (folder / "folds.npz").exists() else None,
    )


def order_to_json(order: Order) -> str:
    """The order; a few hundred bytes, unless it holds a state to start from."""
    plain = {f.name: getattr(order, f.name) for f in dataclasses.fields(order)}
    plain["candidate"] = to_plain(order.candidate)
    for name in ("start", "weights"):
        plain[name] = None if plain[name] is None else base64.b64encode(plain[name]).decode()
    return json.dumps(plain, separators=(",", ":"))


def order_from_json(text: str) -> Order:
    plain = json.loads(text)
    plain["candidate"] = from_plain(Candidate, plain["candidate"])
    for name in ("start", "weights"):
        plain[name] = None if plain[name] is None else base64.b64decode(plain[name])
    return Order(**plain)


def outcome_to_json(outcome: Outcome) -> str:
    """Everything but the state to go on from; arrays and weights in base64."""
    plain = {f.name: getattr(outcome, f.name) for f in dataclasses.fields(outcome) if f.name != "resume"}
    plain["curve"] = list(outcome.curve)
    if outcome.predictions is not None:
        array = np.ascontiguousarray(outcome.predictions)
        plain["predictions"] = [str(array.dtype), list(array.shape), base64.b64encode(array.tobytes()).decode()]
    if outcome.weights is not None:
        plain["weights"] = base64.b64encode(outcome.weights).decode()
    return json.dumps(plain)


def outcome_from_json(text: str) -> Outcome:
    plain = json.loads(text)
    plain["curve"] = tuple(plain["curve"])
    if plain["predictions"] is not None:
        dtype, shape, data = plain["predictions"]
        if np.dtype(dtype).hasobject:
            raise ValueError(f"predictions of type {dtype}")
        plain["predictions"] = np.frombuffer(base64.b64decode(data), dtype).reshape(shape)
    if plain["weights"] is not None:
        plain["weights"] = base64.b64decode(plain["weights"])
    return Outcome(**plain)


def _arrays(part: Part) -> dict[str, np.ndarray]:
    return {"y": part.y, "rows": part.rows, **{f"input{i}": x for i, x in enumerate(part.inputs)}}


def _read(file: Path) -> dict[str, np.ndarray]:
    with np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _part(arrays: Mapping[str, np.ndarray]) -> Part:
    count = sum(name.startswith("input") for name in arrays)
    return Part(tuple(arrays[f"input{i}"] for i in range(count)), arrays["y"], arrays["rows"])


def _folds(arrays: Mapping[str, np.ndarray]) -> Folds:
    count = sum(name.startswith(SIDES[0]) for name in arrays)
    pairs = tuple((arrays[f"{SIDES[0]}{i}"], arrays[f"{SIDES[1]}{i}"]) for i in range(count))
    return Folds(_part(arrays), pairs)


def _describe(name: str, family: Family) -> dict[str, Any]:
    cls = type(family)
    if not dataclasses.is_dataclass(family) or cls.__module__ == "__main__" or "." in cls.__qualname__:
        raise UserError(
            f"family {name} ({cls.__module__}.{cls.__qualname__}) cannot be sent to other processes by its name. "
            "Make it a dataclass in a module of its own, or use engine=processes."
        )
    fields = {f.name: getattr(family, f.name) for f in dataclasses.fields(family)}
    inner = {k: _describe(name, v) for k, v in fields.items() if isinstance(v, Family)}  # as of ``nas.given.Trained``
    return {"module": cls.__module__, "name": cls.__qualname__, "fields": {**fields, **inner}, "inner": [*inner]}


def _make(of: Mapping[str, Any]) -> Family:
    cls = getattr(importlib.import_module(of["module"]), of["name"])
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in of["fields"].items()}
    fields |= {k: _make(fields[k]) for k in of["inner"]}
    family = cls(**{f.name: fields.pop(f.name) for f in dataclasses.fields(cls) if f.init})
    for name, value in fields.items():  # what is told to a family once it is made
        object.__setattr__(family, name, value)
    return family
