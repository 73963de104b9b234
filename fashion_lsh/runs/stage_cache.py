"""Where a stage of a run starts: from one that is finished elsewhere, from weights, or from nothing."""

import csv
import json
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.detections import Found
from fashion_lsh.io.files import written
from fashion_lsh.models.detector import Detector
from fashion_lsh.runs.run import BOXES, Run
from fashion_lsh.training.module import Stage

log = logging.getLogger(__name__)

S = TypeVar("S", bound=Stage)
Show = Callable[[dict[str, float]], None]  # a row of Lightning's logs
FROM_WEIGHTS = {"detector": "detector", "classifier": "backbone"}  # stages, and the settings that say from which


def prepared(stage: S, run: Run, show: Show | None = None) -> S:
    """Make a stage ready to be fitted.

    One that another run fitted with the same settings on the same data is taken over, and what was logged of its fit
    is shown; one that starts from nothing gets the backbone weights that the settings name.

    Raises:
        ValueError: the backbone is frozen and has no weights to keep.
    """
    finished, config = run.path / f"{stage.name}.ckpt", run.config
    if not finished.exists() and not config["fresh"]:
        _take_over(stage.name, run, finished.name, show)
    if not finished.exists() and stage.name in FROM_WEIGHTS:
        log.info("%s starts from %s", stage.name, stage.start(config[FROM_WEIGHTS[stage.name]]["weights"]))
    return stage


def found(detector: Detector, data: GarmentData, run: Run) -> Found:
    """What the run's detector sees in all pictures; taken over where the same one has looked at them before."""
    if not (run.path / BOXES).exists() and not run.config["fresh"]:
        _take_over("boxes", run, BOXES)
    return run.found(detector, data)


def _take_over(stage: str, run: Run, name: str, show: Show | None = None) -> None:
    """Copy a file that the same stage of another run made, or its detector, if there is such a run."""
    key = run.read_json("stages.json")[stage]
    for other in sorted(run.path.parent.parent.glob("*/*/stages.json")):
        finished = other.with_name(name)
        if finished.exists() and _key(other, stage) == key:
            log.info("%s: the same settings were used in %s, its %s is taken", stage, other.parent, name)
            with finished.open("rb") as there, written(run.path / name) as draft, draft.open("wb") as here:
                shutil.copyfileobj(there, here)
            if name == f"{stage}.ckpt":
                for row in _copied_logs(stage, other.parent, run.path):
                    if show:
                        show(row)
            return


def _key(keys: Path, stage: str) -> str | None:
    """What a stage of another run is found by; None where its file is damaged, which is told."""
    try:
        return str(json.loads(keys.read_text())[stage])
    except KeyError:
        return None  # it has no such stage
    except (ValueError, TypeError) as error:
        log.warning("%s is damaged (%s): nothing of that run is taken over", keys, error)
        return None


def _copied_logs(stage: str, source: Path, target: Path) -> Iterator[dict[str, float]]:
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
            with written(path) as draft, draft.open("w", newline="") as out:
                writer = csv.DictWriter(out, names, extrasaction="ignore")
                writer.writeheader()
                writer.writerows(rows)
            for row in rows:
                told = {name: float(row[name]) for name in names if row[name]}
                yield {"trainer/global_step" if name == "step" else name: value for name, value in told.items()}
