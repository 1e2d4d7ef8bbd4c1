"""Running a graph over rows, some at a time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnxruntime

from automl.deploy.names import MEMBER

BATCH = 1024  # rows answered at once, at most
NUMBERS = 2**15  # of them together: a graph's widest layer has some hundred times as many, which is to fit in 64 MB
SERIES = 16  # times as wide is that of a graph of series; on 500 steps 4 rows at once are twice as fast as 64


def answers(
    session: onnxruntime.InferenceSession, inputs: Mapping[str, np.ndarray], *, members: bool = False
) -> list[np.ndarray]:
    """The graph's outputs for all rows; ``members``: those of single members too.

    Some rows at a time: long series and large pictures take much memory on their way.
    """
    names = [o.name for o in session.get_outputs() if members or not o.name.startswith(MEMBER)]
    rows = max((len(a) for a in inputs.values()), default=0)
    if not rows:  # some operators refuse none
        one = {n: np.zeros((1, *a.shape[1:]), a.dtype) for n, a in inputs.items()}
        return [np.asarray(out)[:0] for out in session.run(names, one)]
    width = sum(a[:1].size * (SERIES if a.ndim == 3 else 1) for a in inputs.values())
    size = min(max(NUMBERS // max(width, 1), 1), BATCH)
    if rows <= size:
        return [np.asarray(out) for out in session.run(names, inputs)]
    parts = [session.run(names, {n: a[at : at + size] for n, a in inputs.items()}) for at in range(0, rows, size)]
    return [np.concatenate([np.asarray(p) for p in of]) for of in zip(*parts, strict=True)]
