"""The application: its verbs, and how it ends."""

import signal
import sys
from collections.abc import Callable, Sequence

from cyclopts import App, CycloptsError, Parameter

from .. import __version__
from ..errors import RefineSRError
from ..launched import leads, rank
from ..memory import if_memory_lacks
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
from .messages import print_message, robust_streams, warnings_as_lines
from .signals import DESCRIPTIONS, ReceivedSignal, Terminated, signals_raised
from .whole import convert_strictly

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
"""Exit code for whatever the user can mend."""


def application() -> App:
    app = App(
        name="refinesr",
        version=f"refinesr {__version__}",
        help=SUMMARY,
        help_epilogue="`refinesr VERB --help` tells more.  Try `refinesr upscale photo.jpg`.",
        help_format="markdown",
        # no JSON lists: names of files may begin with a bracket
        default_parameter=Parameter(converter=convert_strictly, json_list=False),
    )
    for verb, arguments, examples in COMMANDS:
        name = command_name(verb)
        usage = " ".join(["refinesr", name, *arguments.split(), "[OPTIONS]"])
        app.command(verb, name=name, usage=usage, help_epilogue=examples)
    return app


def command_name(verb: Callable[..., int]) -> str:
    """As on the command line, where names have hyphens."""
    return verb.__name__.replace("_", "-")


def main(tokens: Sequence[str] | None = None) -> int:
    """Run `tokens` (those of the process if None) and return the exit code.

    0: all done; 1: some files of a batch are not; 2: nothing could be done, told in one line on stderr;
    130: Ctrl-C; 143: SIGTERM.
    """
    notice = ReceivedSignal()
    with robust_streams(), warnings_as_lines():
        try:
            with signals_raised(notice), if_memory_lacks("not enough memory"):
                code = run_command(sys.argv[1:] if tokens is None else list(tokens))
                sys.stdout.flush()
                return code
        except KeyboardInterrupt:
            return report_signal(signal.SIGINT)
        except Terminated:
            return report_signal(signal.SIGTERM)
        except Exception as error:
            return report_error(error) if notice.signal is None else report_signal(notice.signal)


def run_command(tokens: list[str]) -> int:
    verb, bound, _ = application().parse_args(tokens, print_error=False, exit_on_error=False)
    code = verb(*bound.args, **bound.kwargs)
    return code if isinstance(code, int) else 0  # cyclopts' own --help and --version return nothing


def report_error(error: Exception) -> int:
    """The exit code of what the user can mend, told in a line; our own mistakes are raised again."""
    match error:
        case CycloptsError() | RefineSRError():
            return failed(error)
        case BrokenPipeError():  # whoever read our output has gone
            return 1
        case OSError():
            return failed(f"{error.filename or 'output'}: {error.strerror or error}")
    raise error


def failed(error: object) -> int:
    if isinstance(error, CycloptsError):
        error.verbose = False
    print_message(error if leads() else f"process {rank()}: {error}")
    return USER_ERROR


def report_signal(number: int) -> int:
    if leads():
        print_message(DESCRIPTIONS[signal.Signals(number)])
    return 128 + number
