"""Files of a run folder that need no network: config, metrics and skipped garments."""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from fashion_lsh.io.files import atomic_write, csv_rows, folder_lock
from fashion_lsh.runs.log import log_to_file
from fashion_lsh.runs.result_file import RESULTS_FILE, ResultFile, read_results_file

if TYPE_CHECKING:  # reading a run folder does not need the data sets
    from fashion_lsh.data.corrections import Correction

REQUIRED_GROUPS = ("backbone", "data", "search", "hash")  # config groups of every run
CORRECTIONS_FILE = "corrections.csv"  # garments changed by data.corrections
REMOVE_AND_RERUN = "remove it and run the train command of the run again"
RERUN = "run its train command again (with overwrite=true, if its scores are read from a job file)"
OVERWRITE = "run its train command again with overwrite=true"


class RunFolder:
    """Run folder, finished or unfinished.

    Args:
        path: path of the folder; a symlink is resolved.

    Raises:
        FileNotFoundError: not a run folder.
    """

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        # `latest` may change while the run is open
        self.path = path.parent / path.readlink() if path.is_symlink() else path
        if not (self.path / "config.yaml").is_file():
            runs = sorted(file.parent for file in self.path.glob("*/config.yaml"))
            folder = f"the folder of one run, for example {runs[0]}" if runs else "a folder of fashion-lsh train"
            raise FileNotFoundError(f"{self.path}: not a run folder (config.yaml is missing); pass {folder}")

    @property
    def config(self) -> dict[str, Any]:
        """Resolved config of the run.

        Raises:
            ValueError: config.yaml is damaged, or was written by an older version.
        """
        file = self.path / "config.yaml"
        try:
            config = dict(yaml.safe_load(file.read_text()))
        except (yaml.YAMLError, TypeError, ValueError) as error:
            raise ValueError(f"{file} is damaged ({type(error).__name__}); {REMOVE_AND_RERUN}") from error
        if missing := [group for group in REQUIRED_GROUPS if group not in config]:
            raise ValueError(f"{file} is damaged ({missing[0]} is missing); {REMOVE_AND_RERUN}")
        if "overwrite" not in config:
            raise ValueError(f"{self.path} was written by an older version; {REMOVE_AND_RERUN}")
        return config

    @property
    def metrics(self) -> dict[str, float]:
        """Headline scores by flat name (metrics.json); empty if the run is not finished.

        Raises:
            ValueError: metrics.json is damaged.
        """
        path = self.path / "metrics.json"
        try:
            return validate_metrics(json.loads(path.read_text())) if path.exists() else {}
        except ValueError as error:
            raise ValueError(f"{path} is damaged ({error}); {REMOVE_AND_RERUN}") from error

    @property
    def result_file(self) -> ResultFile:
        """All results of the finished run, with its settings and environment.

        Raises:
            FileNotFoundError: results.parquet is missing.
            ValueError: results.parquet is damaged.
        """
        return read_results_file(self.existing_file(RESULTS_FILE))

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """Id and reason of each skipped garment.

        Raises:
            ValueError: skipped.csv is damaged.
        """
        csv_path = self.path / "skipped.csv"
        if not csv_path.exists():
            return []
        try:
            with csv_path.open(newline="", encoding="utf-8") as file:
                return [(name, reason) for _, (name, reason) in list(csv_rows(file))[1:]]
        except ValueError as error:
            raise ValueError(f"{csv_path} is damaged ({error}); remove it and run the command again") from error

    @property
    def corrections(self) -> Counter[str]:
        """Number of garments by action, `relabel` or `exclude`, that `data.corrections` changed.

        Raises:
            ValueError: corrections.csv is damaged.
        """
        csv_path = self.path / CORRECTIONS_FILE
        if not csv_path.exists():
            return Counter()
        try:
            with csv_path.open(newline="", encoding="utf-8") as file:
                return Counter(action for _, (_, _, action, *_) in list(csv_rows(file))[1:])
        except ValueError as error:
            raise ValueError(f"{csv_path} is damaged ({error}); {OVERWRITE}") from error

    @property
    def summary(self) -> str:
        """One line with the run folder and the number of skipped garments, or with the reason for a missing model."""
        if not self.metrics:
            return f"{self.path}: no model, since the scores are read from a job file; to train a model, {OVERWRITE}"
        count = len(self.skipped)
        garments = "1 garment" if count == 1 else f"{count:,} garments"
        skipped = f"; skipped {garments}, see {self.path / 'skipped.csv'}" if count else ""
        return f"Run folder: {self.path}{skipped}"

    def check_finished(self) -> None:
        """Check that the run folder has metrics.

        Raises:
            FileNotFoundError: metrics.json is missing.
        """
        if not self.metrics:
            raise FileNotFoundError(f"{self.path}: not finished (metrics.json is missing); {RERUN}")

    def existing_file(self, name: str) -> Path:
        """Path of an existing file in the folder.

        Raises:
            FileNotFoundError: the file is missing.
        """
        file = self.path / name
        if not file.is_file():
            raise FileNotFoundError(f"{file} is missing; {OVERWRITE}")
        return file

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a JSON file in the folder.

        Raises:
            FileNotFoundError: the file is missing.
            ValueError: the file is damaged.
        """
        file = self.existing_file(name)
        try:
            return dict(json.loads(file.read_text()))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{file} is damaged ({error}); {OVERWRITE}") from error

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file in the folder."""
        with atomic_write(self.path / name) as temporary:
            temporary.write_text(json.dumps(content, indent=1))

    @contextmanager
    def locked_log(self) -> Iterator[None]:
        """Lock the folder, and append log records and an exception of the `with` block to train.log."""
        with folder_lock(self.path), log_to_file(self.path / "train.log"):
            yield

    def add_skipped(self, skipped: Mapping[str, str]) -> None:
        """Add skipped garments to skipped.csv, without duplicate rows.

        Raises:
            ValueError: skipped.csv is damaged.
        """
        self.write_skipped(dict.fromkeys([*self.skipped, *skipped.items()]))

    def write_skipped(self, skipped: Iterable[tuple[str, str]]) -> None:
        """Write skipped.csv, the id and reason of each skipped garment."""
        with (
            atomic_write(self.path / "skipped.csv") as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            csv.writer(file).writerows([("id", "reason"), *skipped])

    def write_corrections(self, changes: Iterable["Correction"]) -> None:
        """Write corrections.csv, the changed garments with the file and line of each decision; nothing if none."""
        rows = [(each.id, each.category, each.action, each.new_category, each.file.name, each.line) for each in changes]
        if not rows:
            return
        with (
            atomic_write(self.path / CORRECTIONS_FILE) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            csv.writer(file).writerows([("id", "category", "action", "new_category", "file", "line"), *rows])


def validate_metrics(content: Any) -> dict[str, float]:
    """Return the content of a metrics file if it maps names to numbers.

    Raises:
        ValueError: the content is not a mapping, or a value is not a number.
    """
    if not isinstance(content, dict):
        raise ValueError(f"expected a mapping of scores, found a {type(content).__name__}")
    for name, value in content.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{name}={value!r} is not a number")
    return content
