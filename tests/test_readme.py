"""The commands that the README tells people to type fit the scripts."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import gallery
import pytest
import search

from tests.test_conf import settings

README = (Path(__file__).parents[1] / "README.md").read_text()
LINES = re.findall(r"^python (\S+\.py .*)$", README, flags=re.MULTILINE)


def words(line: str) -> list[str]:
    return shlex.split(line, comments=True)


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith(("train.py", "evaluate.py"))])
def test_settings_compose(line: str) -> None:
    _, *typed = words(line)
    sweeps = [re.sub(r"=([^,\[]+),.*", r"=\1", word) for word in typed if word != "-m"]
    script = words(line)[0].removesuffix(".py")
    assert settings(*(word for word in sweeps if not word.startswith("run=")), script=script)


@pytest.mark.parametrize(
    ("script", "parser"), [("search.py", search._arguments()), ("gallery.py", gallery._arguments())]
)
def test_arguments_are_understood(script: str, parser: object) -> None:
    lines: Sequence[str] = [line for line in LINES if line.startswith(script)]
    assert lines
    for line in lines:
        parser.parse_args(words(line)[1:])  # type: ignore[attr-defined]
