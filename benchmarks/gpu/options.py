"""The command line of `train_on_gpu.py`."""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Mapping
from pathlib import Path

Command = Callable[[Namespace], None]


def parser(description: str | None, commands: Mapping[str, Command]) -> ArgumentParser:
    """`commands` by the names of the functions below."""
    made = ArgumentParser(description=description, formatter_class=RawDescriptionHelpFormatter)
    verbs = made.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for options in (collect, check, profile, trial, train, distil, measure, pieces, join):
        verb = verbs.add_parser(options.__name__, help=options.__doc__, description=options.__doc__)
        verb.set_defaults(command=commands[options.__name__])
        options(verb)
    return made


def collect(verb: ArgumentParser) -> None:
    """put files that come in several loads into one folder, and check them"""
    verb.add_argument("files", type=Path, nargs="+")
    verb.add_argument("-o", "--output", type=Path, required=True)
    verb.add_argument("--sums", type=Path, help="what sha256sum printed of all of them")


def check(verb: ArgumentParser) -> None:
    """some seconds of everything, to find out what does not work here"""
    of_photos(verb)
    of_pictures(verb)
    verb.add_argument("-o", "--output", type=Path, required=True, help="a folder, which is emptied")
    verb.add_argument("--seconds", type=float, default=5.0, help="of each small training (5)")
    of_device(verb)


def profile(verb: ArgumentParser) -> None:
    """where the time of an update goes, and how much of the card's peak is used"""
    of_recipe(verb)
    of_photos(verb)
    verb.add_argument("--batches", type=int, nargs="+", help="default: the plan's")
    verb.add_argument("--repeat", type=int, default=10, help="updates of which a median is taken (10)")
    of_judge(verb)
    verb.add_argument("--json", type=Path)
    of_device(verb)


def trial(verb: ArgumentParser) -> None:
    """variants of a run, trained for the same time and measured"""
    verb.add_argument("variants", type=Path, help='JSON: [{"name": ..., "recipe": ..., "set": [...]}, ...]')
    of_photos(verb)
    of_pictures(verb)
    verb.add_argument("--minutes", type=float, required=True, help="of each, when it is compiled")
    verb.add_argument("--steps", type=int, nargs="+", default=[1, 2, 4, 8], help="of sampling")
    verb.add_argument("-o", "--output", type=Path, required=True, help="folder of their runs")
    verb.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="of all variants")
    verb.add_argument("--json", type=Path)
    of_device(verb)


def train(verb: ArgumentParser) -> None:
    """train a recipe for so many minutes"""
    of_recipe(verb)
    of_training(verb)
    verb.add_argument("--encoder", type=Path, help="a trained model whose encoder this one begins with")


def distil(verb: ArgumentParser) -> None:
    """teach a copy of a model to answer in few calls, for so many minutes"""
    verb.add_argument("teacher", help="a run's folder, a model file or a shipped model")
    verb.add_argument("--calls", type=int, default=1)
    verb.add_argument("--levels", type=float, nargs="+", default=[], help="sigma of each call, descending")
    verb.add_argument("--teacher-steps", type=int, default=8)
    verb.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    of_training(verb)


def measure(verb: ArgumentParser) -> None:
    """a model's quality in each number of steps and with all values of some choices"""
    verb.add_argument("model")
    of_pictures(verb)
    verb.add_argument("--steps", type=int, nargs="+", default=[1, 2, 4, 8], help="of sampling")
    over = "tried in all combinations, e.g. 'sampling.sampler.eta=[0, 0.5, 1]'"
    verb.add_argument("--over", action="append", default=[], metavar="FIELD=[A, B]", help=over)
    verb.add_argument("--json", type=Path)
    of_device(verb)


def pieces(verb: ArgumentParser) -> None:
    """pieces of a run as it was saved last"""
    verb.add_argument("run", type=Path)
    verb.add_argument("-o", "--output", type=Path, required=True)
    verb.add_argument("--moments", action="store_true", help="the optimiser's too: three times as much")
    of_room(verb)


def join(verb: ArgumentParser) -> None:
    """files again out of their pieces, their checksums compared"""
    verb.add_argument("folder", type=Path, help="of the pieces and pieces.json")
    verb.add_argument("-o", "--output", type=Path, required=True, help="folder of the files")


# ------------------------------------------------------------------------------ of several


def of_training(verb: ArgumentParser) -> None:
    of_photos(verb)
    verb.add_argument("--minutes", type=float, required=True, help="of this command, all it does included")
    verb.add_argument(
        "--of", type=float, help="minutes of all commands that train this run; default: --minutes"
    )
    verb.add_argument("-o", "--output", type=Path, required=True, help="folder of the run")
    verb.add_argument("--resume", action="store_true", help="go on with that folder's run")
    of_judge(verb)
    verb.add_argument("--from", dest="begin", type=Path, help="a model, or what `join` made, to begin with")
    verb.add_argument("--out", type=Path, help="folder of what is to be carried back")
    verb.add_argument("--save-every", type=float, default=60.0, help="seconds (60)")
    verb.add_argument("--ahead", action="store_true", help="make batches beside the network; CUDA only")
    verb.add_argument("--seed", type=int, help="default: 0, or that of the run that goes on")
    of_room(verb)
    of_device(verb)


def of_recipe(verb: ArgumentParser) -> None:
    verb.add_argument("recipe")
    verb.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    verb.add_argument("--tiny", action="store_true", help="the narrowest network, to try things")


def of_photos(verb: ArgumentParser) -> None:
    verb.add_argument("--data", type=Path, nargs="+", required=True, help="folders or tar files of photos")


def of_pictures(verb: ArgumentParser) -> None:
    verb.add_argument("--high", type=Path, required=True, help="pictures that are not trained on")
    of_judge(verb)
    verb.add_argument("--limit", type=int, default=32, help="pictures (32)")
    verb.add_argument("--size", type=int, help="pixels a side of their middles that are used")


def of_judge(verb: ArgumentParser) -> None:
    verb.add_argument("--perceptual", type=Path, help="folder with squeezenet11.npz and LPIPS' linear layers")


def of_room(verb: ArgumentParser) -> None:
    verb.add_argument("--room", type=int, default=60, help="MiB that may be carried back (60)")


def of_device(verb: ArgumentParser) -> None:
    verb.add_argument("--device", default="auto")
    verb.add_argument("--precision", default="auto")
    verb.add_argument("--eager", action="store_true", help="compile nothing")
