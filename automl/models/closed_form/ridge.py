"""A linear head in closed form: ridge regression whose strength is chosen by leaving one row out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Grids by judgement: where they are too narrow the best lies beyond an end; a point costs little here.
STRENGTHS = torch.logspace(-4, 2, 13, dtype=torch.float64)  # relative to the mean eigenvalue
SHARPNESS = torch.logspace(-0.5, 2, 26, dtype=torch.float64)  # of the logits


def classes_head(x: Tensor, y: Tensor, classes: int, times: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Weight (features, classes) and bias (classes,) of logits for features ``x`` (rows, features), classes ``y``.
    ``times``: how often each row stands, (rows,); None: once.

    The classifier of the ROCKET paper, a ridge regression of -1 and 1 per class. Its scores are multiplied with the
    factor that gives the least log-loss on the left-out scores, which makes them logits.
    """
    targets = 2 * F.one_hot(y.long(), classes).double() - 1
    weight, bias, left_out = ridge(x, targets, times)
    each = (F.cross_entropy(left_out * s, y.long(), reduction="none") for s in SHARPNESS.tolist())
    losses = torch.stack([loss.mean() if times is None else loss @ times.double() for loss in each])
    factor = float(SHARPNESS[int(losses.argmin())])
    return weight * factor, bias * factor


def ridge(x: Tensor, targets: Tensor, times: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Weight (features, outputs) and bias (outputs,) in ``x``'s type, and each row's prediction from all others.

    ``x``: (rows, features); ``targets``: double (rows, outputs); ``times``: how often each row stands, (rows,);
    None: once. The strength, one for all outputs, has the least squared error on the rows left out. Costs rows^2
    features + rows^3, so it is for some thousand rows at most. The bias is not shrunk (Rifkin and Lippert, Notes on
    Regularized Least Squares, 2007).
    """
    times = (torch.ones_like(targets[:, 0]) if times is None else times.to(targets))[:, None]
    root, share = times.sqrt(), times / times.sum()
    middle, level = (share.to(x.dtype) * x).sum(dim=0), (share * targets).sum(dim=0)
    centred, aim = root.to(x.dtype) * (x - middle), root * (targets - level)
    gram = (centred @ centred.T).double()
    size = gram.diagonal().mean().clamp(min=1e-9)
    # The direction of the bias has eigenvalue 0 by centring: lifted to the top, so that it can be told from others.
    values, vectors = torch.linalg.eigh(gram + 2 * size * (root @ root.T) / times.mean())
    turned = vectors.T @ aim
    best = None
    for strength in (STRENGTHS.to(x.device) * size).unbind():
        inverse = 1 / (values.clamp(min=0) + strength)
        inverse[-1] = 0
        dual = vectors @ (inverse[:, None] * turned)
        left_out = aim - dual / ((vectors * vectors) @ inverse).clamp(min=1e-12)[:, None]
        error = float(((left_out - aim) ** 2).mean())
        if best is None or error < best[0]:
            best = error, dual, left_out
    assert best is not None
    weight = centred.T @ best[1].to(x.dtype)
    return weight, level.to(x.dtype) - middle @ weight, best[2] / root + level
