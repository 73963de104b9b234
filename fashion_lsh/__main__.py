"""Command line: fashion-lsh COMMAND, or python -m fashion_lsh COMMAND."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from fashion_lsh.cli import hydra_app
from fashion_lsh.cli.command import EXIT_STATUS, PROGRAM

COMMANDS = {
    "train": "train all stages, build the gallery, evaluate the queries",
    "evaluate": "evaluate a finished run with another search policy, or run a study",
    "search": "search the gallery of a finished run with query images",
    "gallery": "build the gallery of a run, add images, remove garments, show its size, verify its files",
    "merge": "merge data sets into one catalogue of 30 categories",
    "check": "check which files of a data set are present",
    "advise": "choose hash stage, code length and search within bytes and milliseconds",
    "review": "find labels and images of a run's data worth a second look, and write a file for corrections",
    "encode": "write codes and embeddings of images, or of a gallery, to a Parquet file",
    "report": "write the page of a run, of an experiment, or of all experiments",
    "reproduce": "run the unfinished jobs of experiments/",
    "doctor": "check what works here: libraries, devices, login, weights, disk",
    "dashboard": "save a wandb workspace for the runs of a project",
}
HYDRA_COMMANDS = ("train", "evaluate")
VERBOSE = ("gallery", "merge", "encode", "review", "advise")  # commands that log progress, since they may take minutes


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status."""
    args = _build_parser().parse_args(argv)
    try:
        try:
            return _run(args.command, args.arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader of the output, such as `head`, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the end of the process
        return 1


def _run(command: str, arguments: Sequence[str]) -> int:
    if command in HYDRA_COMMANDS:
        return hydra_app.main(command, arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    if command in VERBOSE:
        logging.getLogger("fashion_lsh").setLevel(logging.INFO)
    return int(import_module(f"fashion_lsh.cli.{command}").main(arguments))


def _build_parser() -> argparse.ArgumentParser:
    commands = "\n".join(f"  {name:<10} {summary}" for name, summary in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description=f"commands:\n{commands}\n\nRun a command with --help for its options.",
        epilog=f"example: {PROGRAM} train experiment=demo\n\n{EXIT_STATUS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...")
    return parser


if __name__ == "__main__":
    sys.exit(main())
