"""Grids of pictures for looking at results of training and generation."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from refinesr.files import replacing
from refinesr.images.eight_bits import to_uint8


def save_grid(columns: Sequence[Tensor], path: Path, gap: int = 4) -> None:
    """Write batches (B, C, H, W) in [-1, 1] as one picture: a column for each batch, a row for each image.

    Unless there are 3 channels, the first is shown as grey.  Raises OutputError.
    """
    rows = torch.cat([F.pad(column.float(), (0, gap, 0, gap), value=1.0) for column in columns], dim=3)
    rows = rows if rows.shape[1] == 3 else rows[:, :1].expand(-1, 3, -1, -1)
    sheet = torch.cat(list(rows), dim=1)  # (3, B * (H + gap), columns * (W + gap))
    levels = to_uint8(sheet).permute(1, 2, 0).cpu().numpy()
    with replacing(path, overwrite=True) as part:
        Image.fromarray(levels).save(part, format="PNG")
