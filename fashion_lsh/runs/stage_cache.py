"""Reuse a stage that another run has trained, or load its initial weights."""

import csv
import json
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
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
    """Copy the file `name` of a stage from another run with the same stage key, if such a run exists.

    With cache=any in the config, a run with the same settings and other versions of components is also accepted.
    """
    keys = run.read_json("stage_keys.json")
    refused = ""
    for keys_path in sorted(run.path.parent.parent.glob("*/*/stage_keys.json")):
        other_keys, source_path = _read_keys(keys_path), keys_path.with_name(name)
        if not source_path.exists() or keys_path.parent == run.path:
            continue
        is_same = other_keys.get(stage) == keys[stage]
        difference = "" if is_same else _version_difference(stage, keys, other_keys)
        if not is_same and not (difference and run.config["cache"] == "any"):
            refused = f"{keys_path.parent} has {difference}" if difference else refused
            continue
        log.info("Reusing %s of %s (%s)", name, keys_path.parent, difference or "same settings, data and components")
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
    if refused:
        log.info("Not reusing %s: %s (cache=any reuses it)", name, refused)


def _version_difference(stage: str, keys: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Describe the components whose versions differ; "" if the settings differ, too."""
    own, others = (each.get("components", {}).get(stage, {}) for each in (keys, other))
    if not own or own["settings"] != others.get("settings"):
        return ""
    versions, other_versions = own["components"], others["components"]
    changed = [name for name in versions if versions[name] != other_versions.get(name)]
    return ", ".join(
        f"version {other_versions.get(name)} of {name.rpartition('.')[2]} instead of {versions[name]}"
        for name in changed
    )


def _read_keys(keys_path: Path) -> dict[str, Any]:
    """Return the content of a stage_keys.json; empty if the file is unreadable."""
    try:
        return dict(json.loads(keys_path.read_text()))
    except (ValueError, TypeError) as error:
        log.warning("Skipped %s: cannot be read (%s)", keys_path, error)
        return {}


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
