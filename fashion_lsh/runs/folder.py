"""The folder of a run, as far as it is read and written without a network: settings, scores, and what was left out."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fashion_lsh.io.files import atomic_write, csv_rows, folder_lock
from fashion_lsh.runs.log import log_to_file

REQUIRED_GROUPS = ("backbone", "data", "search", "hash")  # of settings, that every run names
REMOVE_AND_RERUN = "remove it, and type the run's train.py command again"
RERUN = "type its train.py command again, with overwrite=true where its scores are read from a job's file"


@dataclass(frozen=True)
class RunFolder:
    """One run folder, finished or not.

    Raises:
        FileNotFoundError: the folder is none of a run.
    """

    path: Path

    def __post_init__(self) -> None:
        if self.path.is_symlink():  # `latest` may point elsewhere tomorrow
            object.__setattr__(self, "path", self.path.parent / self.path.readlink())
        if not (self.path / "config.yaml").is_file():
            raise FileNotFoundError(f"{self.path} is no run: it has no config.yaml; give a folder that train.py made")

    @property
    def config(self) -> dict[str, Any]:
        """The settings it was made with.

        Raises:
            ValueError: the file is damaged, or of an older version.
        """
        file = self.path / "config.yaml"
        try:
            config = dict(yaml.safe_load(file.read_text()))
        except (yaml.YAMLError, TypeError, ValueError) as error:
            raise ValueError(f"{file} is damaged ({type(error).__name__}): {REMOVE_AND_RERUN}") from error
        if missing := [group for group in REQUIRED_GROUPS if group not in config]:
            raise ValueError(f"{file} is damaged (it has no {missing[0]}): {REMOVE_AND_RERUN}")
        if "overwrite" not in config:
            raise ValueError(f"{self.path} was made by an older version: {REMOVE_AND_RERUN}")
        return config

    @property
    def metrics(self) -> dict[str, float]:
        """Flat means by name; empty where the run is not finished.  ValueError: the file is damaged."""
        path = self.path / "metrics.json"
        try:
            return validate_metrics(json.loads(path.read_text())) if path.exists() else {}
        except ValueError as error:
            raise ValueError(f"{path} is damaged ({error}): {REMOVE_AND_RERUN}") from error

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """Id and reason of each garment that was left out.

        Raises:
            ValueError: the file is damaged.
        """
        csv_path = self.path / "skipped.csv"
        if not csv_path.exists():
            return []
        try:
            with csv_path.open(newline="", encoding="utf-8") as file:
                return [(name, reason) for _, (name, reason) in list(csv_rows(file))[1:]]
        except ValueError as error:
            raise ValueError(f"{csv_path} is damaged ({error}): remove it, then go on") from error

    @property
    def closing_message(self) -> str:
        """One line: where it lies, and how many garments were left out of it; or that it has scores and no model."""
        if not self.metrics:
            return f"{self.path} has no model, the scores are those that are kept: {RERUN}"
        count = len(self.skipped)
        left_out = f"; {count:,} garments were left out: {self.path / 'skipped.csv'} says why" if count else ""
        return f"The run lies in {self.path}{left_out}"

    def check_finished(self) -> None:
        """Refuse a run without scores of its own.

        Raises:
            FileNotFoundError: it has none.
        """
        if not self.metrics:
            raise FileNotFoundError(f"{self.path} is not finished, it has no metrics.json: {RERUN}")

    def existing_file(self, name: str) -> Path:
        """A file of the folder that is there.  Raises FileNotFoundError."""
        file = self.path / name
        if not file.is_file():
            raise FileNotFoundError(f"{file} is missing: make the run again, with overwrite=true")
        return file

    def read_json(self, name: str) -> dict[str, Any]:
        """What one JSON file of the folder holds by name.

        Raises:
            FileNotFoundError: it is missing.
            ValueError: it is damaged.
        """
        file = self.existing_file(name)
        try:
            return dict(json.loads(file.read_text()))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{file} is damaged ({error}): make the run again, with overwrite=true") from error

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write one JSON file of the folder."""
        with atomic_write(self.path / name) as temporary:
            temporary.write_text(json.dumps(content, indent=1))

    @contextmanager
    def locked_log(self) -> Iterator[None]:
        """Have the folder alone, and add what is logged in the block, a failure too, to train.log."""
        with folder_lock(self.path), log_to_file(self.path / "train.log"):
            yield

    def add_skipped(self, skipped: Mapping[str, str]) -> None:
        """Name further garments that were left out in skipped.csv, each line once.  ValueError: it is damaged."""
        self.write_skipped(dict.fromkeys([*self.skipped, *skipped.items()]))

    def write_skipped(self, skipped: Iterable[tuple[str, str]]) -> None:
        """Write skipped.csv anew: id and reason of each garment that was left out."""
        with (
            atomic_write(self.path / "skipped.csv") as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            csv.writer(file).writerows([("id", "reason"), *skipped])


def validate_metrics(content: Any) -> dict[str, float]:
    """What was read of a file of scores, held to be one: numbers by name.

    Raises:
        ValueError: it is no such mapping; names what is none.
    """
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}, no scores by name")
    for name, value in content.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{name} is {value!r}, no number")
    return content
