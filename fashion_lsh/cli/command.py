"""Parser, exit status and error messages that all commands share.  Imports no large library."""

import argparse
import functools
import math
import sys
from collections.abc import Callable, Sequence

PROGRAM = "fashion-lsh"
EXIT_STATUS = "exit status: 0 done; 1 failed, or done in part, with the reason on stderr; 2 wrong use"

Main = Callable[[Sequence[str] | None], int]


def create_parser(command: str, doc: str | None) -> argparse.ArgumentParser:
    """Create the parser of a command from the docstring of its module.

    Args:
        command: words after the name of the program.
        doc: summary, and after an empty line details and examples.
    """
    summary, _, details = (doc or "").strip().partition("\n\n")
    return argparse.ArgumentParser(
        prog=f"{PROGRAM} {command}",
        description=summary,
        epilog=f"{details}\n\n{EXIT_STATUS}".strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def report_errors(command: str) -> Callable[[Main], Main]:
    """Decorate the main function of a command to print OSError and ValueError in one line and return 1.

    BrokenPipeError is raised unchanged: the reader of the output, such as `head`, has ended.
    """

    def decorate(main: Main) -> Main:
        @functools.wraps(main)
        def wrapper(argv: Sequence[str] | None = None) -> int:
            try:
                return main(argv)
            except BrokenPipeError:
                raise
            except (OSError, ValueError) as error:
                print(f"{PROGRAM} {command}: {error}", file=sys.stderr)
                return 1

        return wrapper

    return decorate


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add the option that opens a received run with its author's own classes."""
    parser.add_argument(
        "--trust", action="store_true", help="import classes outside fashion-lsh that a received run names"
    )


def positive_int(text: str) -> int:
    """Parse an argument that is a positive integer."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: not a positive integer; pass 1 or more")
    return int(text)


def count_or_all(text: str) -> int | str:
    """Parse an argument that is a positive integer or `all`."""
    return text if text == "all" else positive_int(text)


def finite_float(text: str) -> float:
    """Parse an argument that is a finite number."""
    number = float(text)  # argparse reports a ValueError
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text!r}: not finite; pass a number")
    return number


def distance_or_auto(text: str) -> float | str:
    """Parse an argument that is a finite number or `auto`."""
    try:
        return text if text == "auto" else finite_float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: not a number; pass 0 or more, or auto") from error
