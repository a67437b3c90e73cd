"""`refinesr convert`: makes a model of a checkpoint of the published SR3, Palette or SRDiff code."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from .messages import counted, print_message, print_result
from .options import Flag, Output
from .results import check_output_file

if TYPE_CHECKING:
    from ..stage import Stage

EXAMPLES = """
Examples:

    refinesr convert I640000_E37_gen.pth -o faces.safetensors --config sr_sr3_16_128.json
    refinesr convert I640000_E37_gen.pth -o faces.safetensors --scale 8
    refinesr convert model_ckpt_steps_400000.ckpt -o photos.safetensors
    refinesr convert 200_Network.pth -o holes.safetensors --config inpainting_celebahq.json

Nothing in a checkpoint is executed; one that holds more than tensors and plain values is refused.
"""


def convert(
    checkpoint: Annotated[Path, Parameter(name="FILE")],
    /,
    *,
    output: Output,
    config: Path | None = None,
    scale: int | None = None,
    groups: int | None = None,
    head_channels: int | None = None,
    overwrite: Flag = False,
) -> int:
    """Convert a checkpoint of the public SR3, Palette or SRDiff code into a model.

    The configuration is inferred from the tensors, averaged (EMA) weights are used if there are any, and the
    model samples as published.  What cannot be inferred is taken from --config or from other options.

    Parameters
    ----------
    checkpoint
        The checkpoint: *_gen.pth (SR3), *_Network.pth (Palette), *.ckpt (SRDiff), or a .safetensors file of
        the same tensors.
    output
        File for the model, .safetensors.
    config
        The configuration file that it was trained with, .json or .yaml; it is checked against the tensors.
    scale
        Size of the result as a multiple of the input's; default: that of the configuration, else 1: the input
        is as large as the result.
    groups
        Number of groups of SR3's group normalisation.
    head_channels
        Channels per attention head of Palette; 0: a single head.
    overwrite
        Replace the model if it exists.
    """
    from ..checkpoint import save_stage
    from ..convert import convert as converted

    check_output_file("--output", output, overwrite, (".safetensors",), [checkpoint])
    stage = converted(checkpoint, config=config, scale=scale, groups=groups, head_channels=head_channels)
    save_stage(stage, output, overwrite=overwrite)
    print_result(f"{output}  {model_line(stage)}")
    for line in stage.card.training:
        if line.startswith("assumed"):
            print_message(line)
    return 0


def model_line(stage: "Stage") -> str:
    """One line on the model: summary, scale, size and steps."""
    parameters = sum(parameter.numel() for parameter in stage.model.parameters())
    method, summary = stage.method, stage.card.summary
    steps = counted(method.sampling.steps, "step")
    return f"{summary}: x{method.scale}, {parameters / 1e6:.2f} M parameters, {steps}"
