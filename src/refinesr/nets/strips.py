"""3x3 convolutions of a picture that comes strip by strip, from above, so that no row is computed twice.

A tile needs a halo as wide as all layers together reach, which its neighbours compute again.  A strip needs
of the one above only the last two rows of what each convolution was given.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Rows = Tensor  # (B, F, any number of rows, w)


class Above:
    """What is kept of the strips that have come, for each layer; and how many rows still come.

    Each convolution is a row behind what it is given, so that the first strip must have more rows than all of
    them in a row are behind, or be the only one.
    """

    def __init__(self, height: int) -> None:
        self.coming = height
        self.kept: dict[nn.Module, Rows] = {}

    def take(self, strip: Rows) -> None:
        """Before any layer has it.  ValueError for more rows than still come."""
        if strip.shape[2] > self.coming:
            raise ValueError(f"a strip of {strip.shape[2]} rows, where {self.coming} still come")
        self.coming -= strip.shape[2]

    def around(self, layer: nn.Module, strip: Rows) -> Rows:
        """What makes the layer's next rows: the strip, what is kept above it, rows of zeros at the edges."""
        edge = torch.zeros_like(strip[:, :, :1])
        below = () if self.coming else (edge,)
        given = torch.cat((self.kept.get(layer, edge), strip, *below), 2)
        if layer in self.kept:
            self.kept[layer].copy_(given[:, :, -2:])
        else:
            self.kept[layer] = given[:, :, -2:].clone()  # a view would hold all of it
        return given

    def delayed(self, layer: nn.Module, strip: Rows, rows: int) -> Rows:
        """The first rows of those that have come and were not yet taken; the others are kept."""
        given = torch.cat((self.kept[layer], strip), 2) if layer in self.kept else strip
        self.kept[layer] = given[:, :, rows:].clone()
        return given[:, :, :rows]


def across(conv: nn.Conv2d, given: Rows) -> Rows:
    """A 3x3 convolution that is padded left and right alone: two rows fewer than are given."""
    return F.conv2d(given, conv.weight, conv.bias, padding=(0, 1))
