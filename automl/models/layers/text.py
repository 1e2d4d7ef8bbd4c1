"""Token ids as vectors, and the mask of the padding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from automl.types import Input


class Words(nn.Module):
    """(rows, tokens + letters) ids -> (rows, tokens, width) and the mask (rows, tokens), True where it is no padding.

    While training, columns that are padding in every row of the batch are cut off (``cut``): short batches cost less.
    """

    def __init__(self, of: Input, width: int, dropout: float = 0.0, *, cut: bool = True) -> None:
        super().__init__()
        self.cut = cut
        self.tokens = of.tokens
        self.table = nn.Embedding(of.vocabulary, width, padding_idx=0)
        with torch.no_grad():
            self.table.weight.mul_(0.1)  # N(0, 0.1): closer to what trained tables look like than N(0, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        ids = ids[:, : self.tokens]
        if self.training and self.cut:
            ids = trim(ids)
        return self.dropout(self.table(ids)), ids != 0


def trim(ids: Tensor) -> Tensor:
    """Without the columns after the last token of the longest row; at least one stays."""
    used = (ids != 0).any(dim=0).nonzero()
    return ids[:, : int(used[-1]) + 1 if len(used) else 1]
