"""The features of the LPIPS-like distance, out of the file that SqueezeNet's authors released for Caffe.

    pip install protobuf
    python benchmarks/squeezenet.py squeezenet_v1.1.caffemodel -o DIR

writes DIR/squeezenet11.npz, which `--perceptual DIR` wants beside `lpips-v0.1-squeeze-linear.pth`.  The file
is in the folder SqueezeNet_v1.1 of https://github.com/forresti/SqueezeNet.
"""

import argparse
import sys
from argparse import RawDescriptionHelpFormatter
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from refinesr.errors import CheckpointError, RefineSRError
from refinesr.files import replacing
from refinesr.metrics.perceptual import FEATURES, LAYERS

Array = npt.NDArray[np.float32]

FIELDS = {
    "Net": [("layer", 100, "Layer")],
    "Layer": [("name", 1, str), ("blobs", 7, "Blob")],
    "Blob": [("shape", 7, "Shape"), ("data", 5, float)],
    "Shape": [("dim", 1, int)],
}
"""Of caffe.proto, what is asked for: name, number, and of what kind; all else in a file is passed over."""

KINDS = {
    str: FieldDescriptorProto.TYPE_STRING,
    float: FieldDescriptorProto.TYPE_FLOAT,
    int: FieldDescriptorProto.TYPE_INT64,
}


def message(name: str) -> Any:
    """The class of a message of `FIELDS`.  Every field is a list: of those that come once the last counts."""
    file = FileDescriptorProto(name="caffe.proto", package="caffe", syntax="proto2")
    for title, fields in FIELDS.items():
        described = file.message_type.add(name=title)
        for field, number, kind in fields:
            added = described.field.add(name=field, number=number, label=FieldDescriptorProto.LABEL_REPEATED)
            if isinstance(kind, str):
                added.type, added.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".caffe.{kind}"
            else:
                added.type = KINDS[kind]
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName(f"caffe.{name}"))


def features(path: Path) -> dict[str, Array]:
    """Weights and biases of all layers of `LAYERS`.

    Raises CheckpointError for a file that cannot be read or is of another network.
    """
    net = message("Net")()
    try:
        net.ParseFromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise CheckpointError(f"{path}: no file of Caffe's weights: {error}") from error
    # Caffe calls fire2.squeeze1x1 fire2/squeeze1x1
    layers = {name.replace("/", "."): layer.blobs for layer in net.layer for name in layer.name[-1:]}
    found = {}
    for layer in LAYERS:
        if len(layers.get(layer, ())) != 2:
            raise CheckpointError(f"{path}: holds no weight and bias of {layer!r}; is it SqueezeNet 1.1?")
        for kind, blob in zip(("weight", "bias"), layers[layer], strict=True):
            found[f"{layer}.{kind}"] = array(blob, f"{path}: {layer}.{kind}")
    return found


def array(blob: Any, name: str) -> Array:
    """Raises CheckpointError for numbers that do not fill their shape."""
    shape = tuple(blob.shape[-1].dim) if blob.shape else ()
    if prod(shape) != len(blob.data):
        raise CheckpointError(f"{name}: {len(blob.data)} numbers are none of shape {shape}")
    return np.array(blob.data, np.float32).reshape(shape)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("caffemodel", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--overwrite", action="store_true")
    args = parser.parse_args()
    try:
        found = features(args.caffemodel)
        with replacing(args.output / FEATURES, overwrite=args.overwrite) as part, part.open("wb") as file:
            np.savez(file, **found)
    except RefineSRError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    print(f"{args.output / FEATURES}  {len(found)} arrays")


if __name__ == "__main__":
    main()
