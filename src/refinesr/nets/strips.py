"""3x3 convolutions of an image that is processed in horizontal strips from top to bottom, no row twice.

A tile needs a halo as wide as the receptive field of all layers, which its neighbours compute again.  A strip
needs only the last two input rows of each convolution from the strip above it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Rows = Tensor  # (B, F, any number of rows, w)


class StripCache:
    """The rows that each layer needs from earlier strips, and the number of rows still to come.

    Each convolution's output is one row short of its input until the last strip.  The first strip must
    therefore have more rows than there are convolutions in sequence, or be the only one.
    """

    def __init__(self, height: int) -> None:
        self.rows_left = height
        self.kept: dict[nn.Module, Rows] = {}

    def count_rows(self, strip: Rows) -> None:
        """Counts the rows of a new strip; to be called before any layer gets it.

        Raises ValueError if the strip has more rows than are left.
        """
        if strip.shape[2] > self.rows_left:
            raise ValueError(f"a strip of {strip.shape[2]} rows, where {self.rows_left} still come")
        self.rows_left -= strip.shape[2]

    def with_context(self, layer: nn.Module, strip: Rows) -> Rows:
        """The layer's next input rows: those kept from above, the strip, and zeros at the image's edges."""
        edge = torch.zeros_like(strip[:, :, :1])
        below = () if self.rows_left else (edge,)
        rows = torch.cat((self.kept.get(layer, edge), strip, *below), 2)
        if layer in self.kept:
            self.kept[layer].copy_(rows[:, :, -2:])
        else:
            self.kept[layer] = rows[:, :, -2:].clone()  # a view would keep all rows in memory
        return rows

    def delay(self, layer: nn.Module, strip: Rows, rows: int) -> Rows:
        """The next `rows` rows of a skip connection, which arrive before the branch; keeps the rest."""
        waiting = torch.cat((self.kept[layer], strip), 2) if layer in self.kept else strip
        self.kept[layer] = waiting[:, :, rows:].clone()
        return waiting[:, :, :rows]


def conv_rows(conv: nn.Conv2d, x: Rows) -> Rows:
    """A 3x3 convolution with padding only left and right: the output has two rows fewer than x."""
    return F.conv2d(x, conv.weight, conv.bias, padding=(0, 1))
