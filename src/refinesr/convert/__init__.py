"""Converts checkpoints of other projects; their configuration is inferred from the tensors, or given.

reading   a file's tensors, without running anything
selection which of them are wanted: averaged weights before others, and the noise table
configs   the configuration files of the public codes
tables    the noise table that buffers or settings stand for
unets     the networks that tensors stand for
trial     what tensors do not tell, by trying it
sr3, palette, srdiff         the methods, as published
"""

from collections.abc import Callable
from pathlib import Path

from refinesr.checkpoint import model_with_weights
from refinesr.convert import palette, sr3, srdiff
from refinesr.convert.configs import load_config
from refinesr.convert.conversion import Conversion, ConvertOptions
from refinesr.convert.selection import SourceWeights, select_network
from refinesr.convert.trial import key_in_file
from refinesr.stage import Card, Stage

MARKS = {
    "SR3": sr3.MARK,
    "Palette": palette.MARK,
    "SRDiff": srdiff.MARK,
    "SRDiff's encoder": srdiff.ENCODER_MARK,
}
"""Names of tensors that only files of a layout have."""


def convert(
    path: str | Path,
    *,
    config: str | Path | None = None,
    scale: int | None = None,
    groups: int | None = None,
    head_channels: int | None = None,
) -> Stage:
    """The model in a checkpoint of the public SR3, Palette or SRDiff code, with its published sampling.

    config         the configuration it was trained with: JSON with // comments, or YAML with its base files
    scale          pixels of the result per pixel of the input, a side, where neither the weights nor the
                   configuration tell; 1 otherwise: what is given is as large as the result
    groups         of SR3's norms, which leave no trace in the weights
    head_channels  of Palette's attention, which leave none either; 0 for a single head

    Averaged weights are taken where there are such, with a warning if they are in a file beside this one.
    Raises CheckpointError if the file cannot be read safely or its tensors are not those of one network,
    ConfigError if the configuration is wrong, contradicts the weights, or asks for what is not to be had.
    """
    path = Path(path)
    asked = ConvertOptions(
        load_config(None if config is None else Path(config)), scale, groups, head_channels
    )
    layout, found = select_network(path, MARKS)
    found = srdiff.normalized_weights(found)
    made = reader(layout, found, asked)(found, asked)
    model = model_with_weights(path, made.method, found.weights, key_in_file)
    return Stage(made.method, model, card(found, made, asked))


def reader(
    layout: str, found: SourceWeights, asked: ConvertOptions
) -> Callable[[SourceWeights, ConvertOptions], Conversion]:
    """Palette's code has SR3's network too."""
    if layout == "SR3":
        is_palette = palette.TABLE in found.buffers or asked.config.get(palette.NETWORK) is not None
        return palette.convert_palette_with_sr3 if is_palette else sr3.convert_sr3
    return {"Palette": palette.convert_palette, "SRDiff": srdiff.convert_srdiff}.get(
        layout, srdiff.convert_encoder
    )


def card(found: SourceWeights, made: Conversion, asked: ConvertOptions) -> Card:
    """No paths: only the names of files."""
    weights = "averaged weights" if found.averaged else "weights as trained"
    configuration = (
        f"configuration: {asked.config.path.name}"
        if asked.config.path
        else "configuration: read off the weights"
    )
    return Card(
        name=found.path.stem,
        summary=f"{made.summary}, converted from {' and '.join(found.files)}",
        licence="not stated",
        training=(
            weights,
            *((f"{found.updates} updates",) if found.updates else ()),
            configuration,
            *(f"assumed: {text}" for text in made.assumed),
        ),
    )
