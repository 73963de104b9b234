"""Command line: python -m fashion_lsh COMMAND.  Training and evaluation: train.py and evaluate.py in the repository."""

import argparse
import logging
import sys
from collections.abc import Sequence
from importlib import import_module

COMMANDS = {
    "search": "search the gallery of a finished run with query images",
    "gallery": "add images to the gallery of a run, remove garments, show its size",
    "merge": "merge data sets into one catalogue of 30 categories",
    "check": "check which files of a data set are present",
    "report": "write the page of a run, of an experiment, or of all experiments",
    "reproduce": "run the unfinished jobs of experiments/",
    "dashboard": "save a wandb workspace for the runs of a project",
}
VERBOSE = ("gallery", "merge")  # commands that log progress, since they may take minutes


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status."""
    commands = "\n".join(f"  {name:<10} {summary}" for name, summary in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="python -m fashion_lsh",
        description=f"commands:\n{commands}\n\nRun a command with --help for its options.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    if args.command in VERBOSE:
        logging.getLogger("fashion_lsh").setLevel(logging.INFO)
    return int(import_module(f"fashion_lsh.cli.{args.command}").main(args.arguments))


if __name__ == "__main__":
    sys.exit(main())
