"""Reuse a finished stage of another run, or initialise it from weights."""

import csv
import json
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fashion_lsh.io.files import atomic_write
from fashion_lsh.runs.folder import RunFolder

log = logging.getLogger(__name__)

LogRow = Callable[[dict[str, float]], None]  # logs one row as a Lightning logger does
WEIGHT_GROUPS = {"detector": "detector", "classifier": "backbone"}  # stage -> config group of its initial weights


def initialise(stage: Any, run: RunFolder, log_row: LogRow | None = None) -> None:
    """Prepare a stage for its fit.

    A stage that another run fitted with the same settings and data is copied with the logs of its fit. A stage without
    a predecessor loads the backbone weights of the config.

    Args:
        stage: a LightningModule of `training`, or a baseline.
        run: the new run.
        log_row: logs a row of the copied logs; None: they are not logged.

    Raises:
        ValueError: the backbone is frozen and has no weights.
    """
    checkpoint, config = run.path / f"{stage.name}.ckpt", run.config
    if not checkpoint.exists() and not config["overwrite"]:
        copy_finished(stage.name, run, checkpoint.name, log_row)
    if not checkpoint.exists() and stage.name in WEIGHT_GROUPS:
        log.info(
            "%s: initialised from %s",
            stage.name,
            stage.model.load_weights(config[WEIGHT_GROUPS[stage.name]]["weights"]),
        )


def copy_finished(stage: str, run: RunFolder, name: str, log_row: LogRow | None = None) -> None:
    """Copy a file of a stage from another run with the same stage key, if there is one."""
    key = run.read_json("stage_keys.json")[stage]
    for other in sorted(run.path.parent.parent.glob("*/*/stage_keys.json")):
        checkpoint = other.with_name(name)
        if checkpoint.exists() and _stage_key(other, stage) == key:
            log.info("Reusing %s of %s (same settings, data and version)", name, other.parent)
            with (
                checkpoint.open("rb") as source_file,
                atomic_write(run.path / name) as temporary,
                temporary.open("wb") as target_file,
            ):
                shutil.copyfileobj(source_file, target_file)
            if name == f"{stage}.ckpt":
                for row in _copy_logs(stage, other.parent, run.path):
                    if log_row:
                        log_row(row)
            return


def _stage_key(keys: Path, stage: str) -> str | None:
    """Key of a stage of another run; None if that run lacks the stage, or if the file is damaged (logged)."""
    try:
        return str(json.loads(keys.read_text())[stage])
    except KeyError:
        return None
    except (ValueError, TypeError) as error:
        log.warning("Skipped the stages of %s: damaged (%s)", keys, error)
        return None


def _copy_logs(stage: str, source: Path, target: Path) -> Iterator[dict[str, float]]:
    """Copy the log rows of a stage to another run, for its curves; yield them with the names that Lightning logs."""
    for file in sorted(source.glob("logs/version_*/metrics.csv")):
        with file.open(newline="") as lines:
            rows = [
                row for row in csv.DictReader(lines) if any(row[name] for name in row if name.startswith(f"{stage}/"))
            ]
        if rows:
            names = [name for name in rows[0] if name in ("epoch", "step") or name.startswith(f"{stage}/")]
            numbers = [int(each.name.rpartition("_")[2]) for each in target.glob("logs/version_*")]
            path = target / f"logs/version_{max(numbers, default=-1) + 1}/metrics.csv"
            with atomic_write(path) as temporary, temporary.open("w", newline="") as out:
                writer = csv.DictWriter(out, names, extrasaction="ignore")
                writer.writeheader()
                writer.writerows(rows)
            for row in rows:
                values = {name: float(row[name]) for name in names if row[name]}
                yield {"trainer/global_step" if name == "step" else name: value for name, value in values.items()}
