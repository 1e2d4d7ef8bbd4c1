"""Small ready-made values of the vocabulary (without hypothesis, so that a child process starts quickly)."""

from __future__ import annotations

from automl.types import Axis, Candidate, Input, Task, Trial

AXES = {
    "mlp": (Axis("width", (64, 128)), Axis("norm", (True, False)), Axis("eps", (1e-5, 1e-3), "norm", (True,))),
    "convnet": (Axis("stem", ("3x3", "7x7")),),
}
TASK = Task("digits", "multiclass", (Input("image", "image", (1, 8, 8)),), 10, "accuracy", group="digits")
MLP = Candidate("mlp", {"width": 64, "norm": True, "eps": 1e-5})
CONVNET = Candidate("convnet", {"stem": "3x3"})


def trial(number: int = 0, **changes) -> Trial:
    """An ok trial of the digits task."""
    given = {"task": TASK.name, "candidate": MLP, "fidelity": 3, "seed": 0, "status": "ok", "score": 0.5}
    return Trial(**(given | {"number": number, "seconds": 1.5, "curve": (0.1, 0.5)} | changes))
