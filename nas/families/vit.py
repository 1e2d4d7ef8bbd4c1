"""Vision transformer (Dosovitskiy et al. 2021), with a convolutional stem as an option."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from automl.models.layers.attention import Positions, TransformerBlock
from automl.models.layers.common import TokenPool, choose
from automl.models.layers.image import PatchTokens, is_image_task, patch_sides
from automl.types import Task
from nas.family import FamilySpace


@dataclass(frozen=True)
class ViT:
    """``widths``: options for the token width; ``depths``: for the number of blocks."""

    widths: tuple[int, ...] = (64, 128, 192, 384)
    depths: tuple[int, ...] = (2, 4, 6, 8, 12)
    name: str = "vit"

    def supports(self, task: Task) -> bool:
        return is_image_task(task)

    def space(self, task: Task) -> nn.Module:
        return ViTSpace(task, tuple(self.widths), tuple(self.depths))


class ViTSpace(FamilySpace):
    def __init__(self, task: Task, widths: tuple[int, ...], depths: tuple[int, ...]) -> None:
        super().__init__()
        shape = task.inputs[0].shape
        width = self.choose("width", widths)
        depth = self.choose("depth", depths)
        sides = patch_sides(shape[1], shape[2])
        patch = sides[choose(self, "grain", tuple(sides))]
        form = self.choose("stem", ("patch", "conv"))
        ratio = self.choose("ratio", (2, 4))
        pool = self.choose("pool", ("mean", "attention"))
        dropout = self.shared("dropout", 0.0)

        self.tokens = PatchTokens(shape, patch, width, form)
        self.positions = Positions(self.tokens.tokens, width)
        self.blocks = nn.Sequential(*(TransformerBlock(width, ratio, dropout) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.pool = TokenPool(pool, width)
        self.head = nn.Linear(width, task.num_outputs)

    def forward(self, image: Tensor) -> Tensor:
        """(rows, channels, height, width) -> (rows, num_outputs)."""
        return self.head(self.pool(self.norm(self.blocks(self.positions(self.tokens(image))))))
