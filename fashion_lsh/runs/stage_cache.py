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

LogRow = Callable[[dict[str, float]], None]  # logs a row of Lightning's logs
WEIGHT_GROUPS = {"detector": "detector", "classifier": "backbone"}  # stages, and the settings that name their weights


def initialise(stage: Any, run: RunFolder, log_row: LogRow | None = None) -> None:
    """Make a stage ready to be fitted.

    One that another run fitted with the same settings on the same data is copied, and the logs of its fit are shown;
    one without a predecessor gets the backbone weights that the settings name.

    Args:
        stage: a LightningModule of `training`, or a baseline.
        run: to be made.
        log_row: logs a row of the copied logs; None: nothing does.

    Raises:
        ValueError: the backbone is frozen and has no weights to keep.
    """
    checkpoint, config = run.path / f"{stage.name}.ckpt", run.config
    if not checkpoint.exists() and not config["overwrite"]:
        copy_finished(stage.name, run, checkpoint.name, log_row)
    if not checkpoint.exists() and stage.name in WEIGHT_GROUPS:
        log.info(
            "%s starts from %s", stage.name, stage.model.load_weights(config[WEIGHT_GROUPS[stage.name]]["weights"])
        )


def copy_finished(stage: str, run: RunFolder, name: str, log_row: LogRow | None = None) -> None:
    """Copy a file that the same stage of another run made, if there is such a run."""
    key = run.read_json("stage_keys.json")[stage]
    for other in sorted(run.path.parent.parent.glob("*/*/stage_keys.json")):
        checkpoint = other.with_name(name)
        if checkpoint.exists() and _stage_key(other, stage) == key:
            log.info("%s: the same settings were used in %s, its %s is taken", stage, other.parent, name)
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
    """What a stage of another run is found by; None where its file is damaged, which is told."""
    try:
        return str(json.loads(keys.read_text())[stage])
    except KeyError:
        return None  # it has no such stage
    except (ValueError, TypeError) as error:
        log.warning("%s is damaged (%s): nothing of that run is taken over", keys, error)
        return None


def _copy_logs(stage: str, source: Path, target: Path) -> Iterator[dict[str, float]]:
    """Put what was logged of a stage's fit beside the logs of another run, for its curves; gives it as Lightning logs
    it."""
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
