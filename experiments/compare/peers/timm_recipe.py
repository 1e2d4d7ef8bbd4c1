"""A network of timm from scratch by one fixed recipe: AdamW, cosine to nothing, crops by a tenth, no search.

It ends after ``options.epochs`` or when the seconds are over, with its schedule at its end.
"""

import math
import time
from typing import Any

import numpy as np
import timm
import torch
from exchange import Predict, Task, answer
from torch.nn import functional as F

BATCH, RATE, DECAY, SIDE = 128, 1e-3, 0.05, 32


def fit(task: Task, rows: Any, truth: np.ndarray) -> Predict:
    began = time.monotonic()
    torch.manual_seed(task.seed)
    images = as_images(rows)
    mean, std = images.mean((0, 2, 3), keepdim=True), images.std((0, 2, 3), keepdim=True) + 1e-6
    classes, codes = np.unique(truth, return_inverse=True) if task.classes else (None, None)
    centre, width = (0.0, 1.0) if task.classes else (float(truth.mean()), float(truth.std()) + 1e-12)
    y = torch.as_tensor(codes if task.classes else (truth - centre) / width)
    y = y.long() if task.classes else y.float()
    outputs = 1 if classes is None else len(classes)
    network = timm.create_model(task.options["model"], in_chans=images.shape[1], num_classes=outputs)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
    total = task.options["epochs"] * math.ceil(len(images) / BATCH)
    done = 0
    while True:
        for at in torch.randperm(len(images)).split(BATCH):
            past = max(done / total, (time.monotonic() - began) / task.seconds)
            if past >= 1:
                network.eval()
                break
            for group in optimizer.param_groups:
                group["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * past))
            if len(at) == 1:
                continue  # batch normalisation needs two
            network.train()
            out = network(shifted(images[at] - mean) / std)
            loss = F.cross_entropy(out, y[at]) if task.classes else F.mse_loss(out[:, 0], y[at])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            done += 1
        else:
            continue
        break

    @torch.inference_mode()
    def predict(test: np.ndarray) -> np.ndarray:
        out = torch.cat([network((part - mean) / std) for part in as_images(test).split(512)])
        return out[:, 0].numpy() * width + centre if classes is None else classes[out.argmax(1).numpy()]

    return predict


def as_images(rows: np.ndarray) -> torch.Tensor:
    """(n, channels, height, width), at least ``SIDE`` high and wide."""
    images = torch.from_numpy(rows).float()
    images = images[:, None] if images.ndim == 3 else images.movedim(-1, 1) if rows.shape[-1] in (3, 4) else images
    small = min(images.shape[2:])
    return images if small >= SIDE else F.interpolate(images, scale_factor=math.ceil(SIDE / small))


def shifted(images: torch.Tensor) -> torch.Tensor:
    """The batch moved by up to a tenth of its sides, zeros where nothing was."""
    far = max(1, min(images.shape[2:]) // 10)
    down, right = (int(torch.randint(0, 2 * far + 1, ())) for _ in range(2))
    padded = F.pad(images, (far, far, far, far))
    return padded[:, :, down : down + images.shape[2], right : right + images.shape[3]]


if __name__ == "__main__":
    answer(fit)
