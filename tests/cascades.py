"""A base and two stages as small as they get: 8 pixels a side from nothing, made 2 times larger, twice."""

from dataclasses import replace

from methods import plain, stage

from refinesr.images.augment import CascadeAugmented
from refinesr.images.resize import MatlabBicubic
from refinesr.method import Method
from refinesr.nets.adm_unet import ADMUNet
from refinesr.nets.tiny import Tiny
from refinesr.sources import Augmented, Blank, Labelled

SIDE = 8


def network(image_channels: int, vector: int) -> ADMUNet:
    narrow = ADMUNet(width=8, multipliers=(1, 2), blocks=1, attention=(), head_channels=0, groups=4)
    return replace(narrow, image_channels=image_channels, vector=vector)


def by_class(classes: int = 3) -> Method:
    return replace(plain(1), network=network(0, classes), source=Labelled(classes), tile=SIDE)


def blank() -> Method:
    return replace(plain(1), network=Tiny(image_channels=0, width=8, blocks=1), source=Blank(), tile=SIDE)


def augmented(scale: int = 2) -> Method:
    source, degradation = Augmented(MatlabBicubic(), 16), CascadeAugmented(scale)
    return replace(plain(scale), network=network(3, 16), source=source, degradation=degradation)


BASE, PAGE, FORGIVING, LARGER = (stage(method) for method in (by_class(), blank(), augmented(), plain(2)))
