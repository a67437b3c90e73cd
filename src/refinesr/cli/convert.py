"""`refinesr convert`: a checkpoint of other people's code in, a model out."""

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
    """Make a model of a checkpoint of the public SR3, Palette or SRDiff code.

    Its configuration is read off the tensors, the model samples as published, and averaged weights are taken
    where there are such.  What leaves no trace in the weights is asked for.

    Parameters
    ----------
    checkpoint
        The weights: *_gen.pth (SR3), *_Network.pth (Palette), *.ckpt (SRDiff), or .safetensors of their
        tensors.
    output
        The model, a .safetensors file.
    config
        The configuration it was trained with, .json or .yaml; it is compared with the tensors.
    scale
        Pixels of the result per pixel of the input, a side; default: what the configuration says, else 1: the
        input is as large as the result.
    groups
        Groups of SR3's norms.
    head_channels
        Channels of a head of Palette's attention; 0: a single head.
    overwrite
        Replace a model that exists.
    """
    from ..checkpoint import save_stage
    from ..convert import convert as converted

    check_output_file("--output", output, overwrite, (".safetensors",), [checkpoint])
    stage = converted(checkpoint, config=config, scale=scale, groups=groups, head_channels=head_channels)
    save_stage(stage, output, overwrite=overwrite)
    print_result(f"{output}  {described(stage)}")
    for line in stage.card.training:
        if line.startswith("assumed"):
            print_message(line)
    return 0


def described(stage: "Stage") -> str:
    """What the model is, in a line."""
    parameters = sum(parameter.numel() for parameter in stage.model.parameters())
    method, summary = stage.method, stage.card.summary
    steps = counted(method.sampling.steps, "step")
    return f"{summary}: x{method.scale}, {parameters / 1e6:.2f} M parameters, {steps}"
