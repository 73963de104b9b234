"""Save a Weights & Biases workspace for the runs of a project.

example:
  fashion-lsh dashboard my-project
"""

import argparse
import os
import re
import sys
from collections.abc import Sequence

from fashion_lsh.cli.command import create_parser

PROJECT_PATTERN = re.compile(r"([^/\s]+/)?[^/\s]+")


def main(argv: Sequence[str] | None = None) -> int:
    """Save the workspace; return 1 if wandb is offline or not logged in, or if the server rejects the workspace."""
    parser = build_parser()
    name = parser.parse_args(argv).project
    if not PROJECT_PATTERN.fullmatch(name):
        parser.error(f"{name!r}: not a project name; pass PROJECT or ENTITY/PROJECT")
    if (mode := os.environ.get("WANDB_MODE", "online")) != "online":
        sys.stderr.write(f"fashion-lsh dashboard: WANDB_MODE={mode}: workspace of {name} not saved; unset WANDB_MODE\n")
        return 1
    from fashion_lsh.tracking.wandb_workspace import WandbError, save_workspace  # --help must not import wandb

    entity, _, project = name.rpartition("/")
    try:
        save_workspace(entity, project)
    except (ValueError, WandbError) as error:
        sys.stderr.write(f"fashion-lsh dashboard: {name}: workspace not saved: {error}\n")
        return 1
    return 0


def build_parser() -> argparse.ArgumentParser:
    parser = create_parser("dashboard", __doc__)
    parser.add_argument(
        "project", metavar="[ENTITY/]PROJECT", help="logger.project of the runs; ENTITY defaults to your own"
    )
    return parser
