"""The command-line application: its commands, its errors and its exit codes."""

import signal
import sys
from collections.abc import Callable, Sequence

from cyclopts import App, CycloptsError, Parameter

from .. import __version__
from ..errors import RefineSRError
from ..memory import out_of_memory_as
from ..torchrun import is_main_process, rank
from . import (
    compare,
    convert,
    curves,
    distill,
    evaluate,
    fool_rate,
    fuse,
    generate,
    info,
    interpolate,
    search,
    serve,
    study,
    train,
    upscale,
)
from .integers import convert_strictly
from .messages import print_message, robust_streams, warnings_as_lines
from .signals import DESCRIPTIONS, ReceivedSignal, Terminated, signals_raised

SUMMARY = "Image super-resolution by diffusion: faithful to the input, seamless in tiles, good in few steps."

COMMANDS: tuple[tuple[Callable[..., int], str, str], ...] = (
    (upscale.upscale, "INPUT... [-o OUT]", upscale.EXAMPLES),
    (serve.serve, "", serve.EXAMPLES),
    (train.train, "RECIPE --data DIR... -o RUN", train.EXAMPLES),
    (distill.distill, "MODEL --data DIR... -o RUN", distill.EXAMPLES),
    (curves.curves, "RUN... -o PICTURE", curves.EXAMPLES),
    (info.info, "NAME|FILE|RECIPE", info.EXAMPLES),
    (evaluate.evaluate, "METHOD... --data DIR --protocol NAME -o REPORT", evaluate.EXAMPLES),
    (compare.compare, "A [B]", compare.EXAMPLES),
    (study.study, "REPORT -o STUDY.html", study.EXAMPLES),
    (fool_rate.fool_rate, "ANSWERS...", fool_rate.EXAMPLES),
    (search.search, "MODEL --data DIR --steps N", search.EXAMPLES),
    (convert.convert, "FILE -o MODEL.safetensors", convert.EXAMPLES),
    (generate.generate, "CASCADE -o DIR", generate.EXAMPLES),
    (interpolate.interpolate, "PHOTO [FIRST SECOND] -o STRIP", interpolate.EXAMPLES),
    (fuse.fuse, "PICTURE OTHER -o OUT", fuse.EXAMPLES),
)

USER_ERROR = 2
"""Exit code for errors that the user can correct."""


def application() -> App:
    """The cyclopts application with all commands."""
    app = App(
        name="refinesr",
        version=f"refinesr {__version__}",
        help=SUMMARY,
        help_epilogue="`refinesr COMMAND --help` describes a command.  Try `refinesr upscale photo.jpg`.",
        help_format="markdown",
        # no JSON lists: names of files may begin with a bracket
        default_parameter=Parameter(converter=convert_strictly, json_list=False),
    )
    for command, arguments, examples in COMMANDS:
        name = command_name(command)
        usage = " ".join(["refinesr", name, *arguments.split(), "[OPTIONS]"])
        app.command(command, name=name, usage=usage, help_epilogue=examples)
    return app


def command_name(command: Callable[..., int]) -> str:
    """The command's name on the command line, with hyphens for underscores."""
    return command.__name__.replace("_", "-")


def main(tokens: Sequence[str] | None = None) -> int:
    """Run the command that `tokens` give (the process's arguments if None) and return the exit code.

    0: success; 1: some files of a batch failed; 2: nothing could be done, with the reason in one line on
    stderr; 130: Ctrl-C; 143: SIGTERM.
    """
    received = ReceivedSignal()
    with robust_streams(), warnings_as_lines():
        try:
            with signals_raised(received), out_of_memory_as("not enough memory"):
                code = run_command(sys.argv[1:] if tokens is None else list(tokens))
                sys.stdout.flush()
                return code
        except KeyboardInterrupt:
            return report_signal(signal.SIGINT)
        except Terminated:
            return report_signal(signal.SIGTERM)
        except Exception as error:
            return report_error(error) if received.signal is None else report_signal(received.signal)


def run_command(tokens: list[str]) -> int:
    command, bound, _ = application().parse_args(tokens, print_error=False, exit_on_error=False)
    code = command(*bound.args, **bound.kwargs)
    return code if isinstance(code, int) else 0  # cyclopts' own --help and --version return nothing


def report_error(error: Exception) -> int:
    """Print an error that the user can correct in one line and return the exit code.

    Any other exception is a bug and is raised again, for its traceback.
    """
    match error:
        case CycloptsError():
            error.verbose = False
            text = str(error)
        case RefineSRError():
            text = str(error)
        case BrokenPipeError():  # the reader of stdout has closed it
            return 1
        case OSError():
            text = f"{error.filename or 'output'}: {error.strerror or error}"
        case _:
            raise error
    print_message(text if is_main_process() else f"process {rank()}: {text}")
    return USER_ERROR


def report_signal(number: int) -> int:
    """Print which signal ended the command and return the shell's exit code for it."""
    if is_main_process():
        print_message(DESCRIPTIONS[signal.Signals(number)])
    return 128 + number
