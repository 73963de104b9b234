"""Command line `fashion-lsh COMMAND`: help, exit status and log level."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from fashion_lsh.__main__ import COMMANDS, main
from fashion_lsh.cli.command import EXIT_STATUS

LOGGER = logging.getLogger("fashion_lsh")


@pytest.fixture(autouse=True)
def _restore_level() -> Iterator[None]:
    """Restore the level of the package's logger."""
    before = LOGGER.level
    yield
    LOGGER.setLevel(before)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as system_exit:
        main([name, "--help"])
    assert system_exit.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: fashion-lsh {name} ")
    assert f"\n  fashion-lsh {name} " in printed  # an example
    assert EXIT_STATUS in printed


def test_help_lists_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as system_exit:
        main(["--help"])
    assert system_exit.value.code == 0
    printed = capsys.readouterr().out
    assert all(f"  {name} " in printed and summary in printed for name, summary in COMMANDS.items())


@pytest.mark.parametrize("words", [["serach"], ["train.py"]])
def test_unknown_command_is_rejected(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as system_exit:
        main(words)
    assert system_exit.value.code == 2
    message = capsys.readouterr().err
    assert all(name in message for name in COMMANDS)


def test_exit_status_is_returned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", str(tmp_path), "image.png"]) == 1
    assert capsys.readouterr().err.startswith(f"fashion-lsh search: {tmp_path}")
    assert main(["check", "folder", str(tmp_path / "none")]) == 1


def test_long_commands_log_progress(tmp_path: Path) -> None:
    LOGGER.setLevel(logging.WARNING)
    main(["check", "folder", str(tmp_path)])
    assert LOGGER.level == logging.WARNING
    main(["gallery", "stats", str(tmp_path)])
    assert LOGGER.level == logging.INFO
