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
    options = ConvertOptions(
        load_config(None if config is None else Path(config)), scale, groups, head_channels
    )
    layout, source = select_network(path, MARKS)
    source = srdiff.normalized_weights(source)
    conversion = reader(layout, source, options)(source, options)
    model = model_with_weights(path, conversion.method, source.weights, key_in_file)
    return Stage(conversion.method, model, card(source, conversion, options))


def reader(
    layout: str, source: SourceWeights, options: ConvertOptions
) -> Callable[[SourceWeights, ConvertOptions], Conversion]:
    """The function that converts a layout; Palette's code can also have SR3's network."""
    if layout == "SR3":
        is_palette = palette.TABLE in source.buffers or options.config.get(palette.NETWORK) is not None
        return palette.convert_palette_with_sr3 if is_palette else sr3.convert_sr3
    return {"Palette": palette.convert_palette, "SRDiff": srdiff.convert_srdiff}.get(
        layout, srdiff.convert_encoder
    )


def card(source: SourceWeights, conversion: Conversion, options: ConvertOptions) -> Card:
    """No paths: only the names of files."""
    weights = "averaged weights" if source.averaged else "weights as trained"
    configuration = (
        f"configuration: {options.config.path.name}"
        if options.config.path
        else "configuration: read off the weights"
    )
    return Card(
        name=source.path.stem,
        summary=f"{conversion.summary}, converted from {' and '.join(source.files)}",
        licence="not stated",
        training=(
            weights,
            *((f"{source.updates} updates",) if source.updates else ()),
            configuration,
            *(f"assumed: {text}" for text in conversion.assumed),
        ),
    )
