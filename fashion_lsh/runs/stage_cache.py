"""Reuse a stage that another run has trained, or load its initial weights."""

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

RowLogger = Callable[[dict[str, float]], None]  # log the metrics of one training step, as a Lightning logger does
WEIGHT_GROUPS = {"detector": "detector", "classifier": "backbone"}  # config group of each stage's initial weights


def initialise(stage: Any, run: RunFolder, log_row: RowLogger | None = None) -> None:
    """Prepare a stage for training.

    If another run trained this stage with the same settings and data, its checkpoint and training logs are copied.
    Otherwise the weights set in the config are loaded into a detector or classifier.

    Args:
        stage: LightningModule of `training`, or baseline.
        run: run that needs the stage.
        log_row: called with each row of the copied training logs, if not None.

    Raises:
        ValueError: the backbone is frozen, but no weights are set.
    """
    checkpoint, config = run.path / f"{stage.name}.ckpt", run.config
    if not checkpoint.exists() and not config["overwrite"]:
        copy_stage_file(stage.name, run, checkpoint.name, log_row)
    if not checkpoint.exists() and stage.name in WEIGHT_GROUPS:
        log.info(
            "%s: initialised from %s",
            stage.name,
            stage.model.load_weights(config[WEIGHT_GROUPS[stage.name]]["weights"]),
        )


def copy_stage_file(stage: str, run: RunFolder, name: str, log_row: RowLogger | None = None) -> None:
    """Copy the file `name` of a stage from another run with the same stage key, if such a run exists."""
    key = run.read_json("stage_keys.json")[stage]
    for keys_path in sorted(run.path.parent.parent.glob("*/*/stage_keys.json")):
        source_path = keys_path.with_name(name)
        if source_path.exists() and _stage_key(keys_path, stage) == key:
            log.info("Reusing %s of %s (same settings, data and version)", name, keys_path.parent)
            with (
                source_path.open("rb") as source_file,
                atomic_write(run.path / name) as temporary,
                temporary.open("wb") as target_file,
            ):
                shutil.copyfileobj(source_file, target_file)
            if name == f"{stage}.ckpt":
                for row in _copy_logs(stage, keys_path.parent, run.path):
                    if log_row:
                        log_row(row)
            return


def _stage_key(keys_path: Path, stage: str) -> str | None:
    """Return the key of a stage in a stage_keys.json; return None if the stage is missing or the file is unreadable."""
    try:
        return str(json.loads(keys_path.read_text())[stage])
    except KeyError:
        return None
    except (ValueError, TypeError) as error:
        log.warning("Skipped %s: cannot be read (%s)", keys_path, error)
        return None


def _copy_logs(stage: str, source: Path, target: Path) -> Iterator[dict[str, float]]:
    """Copy the training log of a stage, so that the report of the new run has its training curves; yield the rows.

    The keys of the yielded rows are those of Lightning loggers, for example `trainer/global_step`.
    """
    for file in sorted(source.glob("logs/version_*/metrics.csv")):
        with file.open(newline="") as lines:
            rows = [
                row for row in csv.DictReader(lines) if any(row[name] for name in row if name.startswith(f"{stage}/"))
            ]
        if rows:
            names = [name for name in rows[0] if name in ("epoch", "step") or name.startswith(f"{stage}/")]
            versions = [int(each.name.rpartition("_")[2]) for each in target.glob("logs/version_*")]
            path = target / f"logs/version_{max(versions, default=-1) + 1}/metrics.csv"
            with atomic_write(path) as temporary, temporary.open("w", newline="") as out:
                writer = csv.DictWriter(out, names, extrasaction="ignore")
                writer.writeheader()
                writer.writerows(rows)
            for row in rows:
                values = {name: float(row[name]) for name in names if row[name]}
                yield {"trainer/global_step" if name == "step" else name: value for name, value in values.items()}
