"""The README's commands are valid."""

import argparse
import re
import shlex
from pathlib import Path

import pytest

from fashion_lsh.__main__ import COMMANDS
from fashion_lsh.cli import gallery, search
from tests.test_conf import compose_config

README = (Path(__file__).parents[1] / "README.md").read_text()
LINES = [shlex.split(line, comments=True) for line in re.findall(r"^python (.*)$", README, flags=re.MULTILINE)]


@pytest.mark.parametrize("line", [line for line in LINES if line[0] in ("train.py", "evaluate.py")], ids=" ".join)
def test_readme_config_composes(line: list[str]) -> None:
    script, *overrides = line
    first_jobs = [re.sub(r"=([^,\[]+),.*", r"=\1", override) for override in overrides if override != "-m"]
    composed = [override for override in first_jobs if not override.startswith("run=")]
    assert compose_config(*composed, script=script.removesuffix(".py"))


@pytest.mark.parametrize(
    ("command", "parser"),
    [("search", search._build_parser()), ("gallery", gallery._build_parser())],
    ids=["search", "gallery"],
)
def test_readme_arguments_parse(command: str, parser: argparse.ArgumentParser) -> None:
    lines = [line for line in LINES if line[:3] == ["-m", "fashion_lsh", command]]
    assert lines
    for line in lines:
        parser.parse_args(line[3:])


def test_every_command_has_a_module() -> None:
    assert {line[0] for line in LINES} == {"train.py", "evaluate.py", "-m"}
    assert set(re.findall(r"python -m fashion_lsh (\S+)", README)) <= COMMANDS.keys()
