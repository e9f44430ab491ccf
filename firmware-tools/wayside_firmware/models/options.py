"""The options of `wayside-fw model`; what they start is imported when it starts, and NumPy with it."""

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path


def add_model(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `model`."""
    model = commands.add_parser("model", help="train, judge, look at and sign TFLite models")
    parts = model.add_subparsers(required=True, metavar="COMMAND")
    _train(parts.add_parser("train", help="train a model from recorded series, and write its card"))
    evaluate = parts.add_parser("evaluate", help="run a model over recorded series as the agent does")
    evaluate.add_argument("model", type=Path, metavar="MODEL", help="a .tflite file with Wayside's metadata")
    _data(evaluate)
    evaluate.add_argument("--from", dest="since", metavar="TIME", help="look at windows from here on (all)")
    evaluate.add_argument("--scores", type=Path, metavar="FILE", help="write what it gave as CSV")
    evaluate.set_defaults(command=_later("evaluate"))
    inspect = parts.add_parser("inspect", help="show a model's tensors, metadata and SHA-256")
    inspect.add_argument("model", type=Path, metavar="MODEL", help="a .tflite file")
    inspect.add_argument("--key", type=Path, metavar="FILE", help="check its signature with this public key")
    inspect.set_defaults(command=_later("inspect"))
    sign = parts.add_parser("sign", help="write a detached Ed25519 signature beside a model")
    sign.add_argument("model", type=Path, metavar="MODEL", help="any file")
    sign.add_argument(
        "--key", type=Path, required=True, metavar="FILE", help="private key in PEM; made when it is not there"
    )
    sign.set_defaults(command=_later("sign_model"))


def _train(train: argparse.ArgumentParser) -> None:
    _data(train)
    train.add_argument(
        "--kind", choices=("autoencoder", "classifier"), default="autoencoder", help="what it is for (%(default)s)"
    )
    train.add_argument("--out", type=Path, required=True, metavar="FILE", help="the .tflite file to write")
    train.add_argument("--until", metavar="TIME", help="learn from what lies before this (all)")
    train.add_argument(
        "--window", type=_count, default=24, metavar="N", help="periods that the model looks at at once (%(default)s)"
    )
    train.add_argument(
        "--period", type=_positive, required=True, metavar="SECONDS", help="readings are averaged over so long"
    )
    train.add_argument("--stride", type=_count, default=1, metavar="N", help="periods between windows (%(default)s)")
    train.add_argument(
        "--max-gap", type=int, default=2, metavar="N", help="periods without a value that are bridged (%(default)s)"
    )
    train.add_argument(
        "--smoothing", type=_count, default=1, metavar="N", help="windows that a score is averaged over (%(default)s)"
    )
    train.add_argument(
        "--consecutive", type=_count, default=1, metavar="N", help="windows in a row before an alarm (%(default)s)"
    )
    train.add_argument(
        "--margin", type=_positive, default=1.2, metavar="X",
        help="threshold over the largest score that was learned from (%(default)s)",
    )  # fmt: skip
    train.add_argument("--label-names", metavar="A,B,…", help="names for the labels, in the order of their values")
    train.add_argument("--seed", type=int, default=1, metavar="N", help="of all that is drawn (%(default)s)")
    train.add_argument("--epochs", type=_count, default=40, metavar="N", help="times through the data (%(default)s)")
    train.add_argument(
        "--members", type=_count, metavar="N", help="networks that are averaged (32, for a classifier 4)"
    )
    train.add_argument("--float", action="store_true", help="compute with floats (8-bit integers)")
    train.add_argument(
        "--per-tensor", action="store_true", help="one scale for all weights of a layer, as old runtimes want"
    )
    train.set_defaults(command=_later("train"))


def _data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, metavar="FILE", help="CSV: the server's export, or a table")
    parser.add_argument(
        "--series", action="append", required=True, metavar="NAME[=UNIT]", help="an input; once for each, in order"
    )
    parser.add_argument(
        "--time-column", metavar="NAME", help="column of the times in a table (time, timestamp or date)"
    )
    parser.add_argument("--labels", metavar="NAME", help="series or column that says what was so, for a classifier")
    parser.add_argument("--windows", type=Path, metavar="FILE", help="labelled anomalies: JSON or CSV of begin and end")


def _later(name: str) -> Callable[[argparse.Namespace], int]:
    def start(options: argparse.Namespace) -> int:
        command: Callable[[argparse.Namespace], int] = getattr(
            importlib.import_module("wayside_firmware.models.commands"), name
        )
        return command(options)

    return start


def _count(text: str) -> int:
    value = int(text)
    if not 0 < value <= 4096:
        raise argparse.ArgumentTypeError("must be from 1 to 4096")
    return value


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1e6:
        raise argparse.ArgumentTypeError("must be more than 0 and at most a million")
    return value
