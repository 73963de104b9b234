"""Run commands of fashion-lsh in processes of their own, which are forked from one that has imported the libraries."""

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from pathlib import Path
from typing import NamedTuple

import pytest

from fashion_lsh.cli.reproduce import ROOT

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.preload"])


class Done(NamedTuple):
    """Exit status, and output with errors, of a command."""

    status: int
    output: str


def run_forked(arguments: Sequence[str], folder: Path, log: Path, environment: Mapping[str, str] = os.environ) -> Done:
    """Run `fashion-lsh ARGUMENTS`.

    Args:
        arguments: arguments of the command.
        folder: working folder.
        log: file for the output; new lines are appended.
        environment: environment variables.
    """
    start = log.stat().st_size if log.exists() else 0
    with pytest.MonkeyPatch.context() as patch:  # Python 3.11 does not pass sys.path to the server
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]))
        forkserver.ensure_running()
    process = _CONTEXT.Process(target=_run, args=(list(arguments), folder, log, dict(environment)))
    process.start()
    process.join()
    assert process.exitcode is not None
    return Done(process.exitcode, log.read_bytes()[start:].decode())


def _run(arguments: list[str], folder: Path, log: Path, environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    with log.open("ab") as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())
    from fashion_lsh.__main__ import main

    sys.exit(main(arguments))
