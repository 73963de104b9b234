"""Where a stage of a run starts: from one that is finished elsewhere, from weights, or from nothing."""

import json
import logging
import shutil
from typing import TypeVar

from fashion_lsh.files import written
from fashion_lsh.run import Run
from fashion_lsh.stages.learner import Learner

log = logging.getLogger(__name__)

S = TypeVar("S", bound=Learner)
FROM_WEIGHTS = {
    "detector": "detector",
    "classifier": "backbone",
}  # stages, and the settings that say which; others have none


def prepared(stage: S, run: Run) -> S:
    """Make a stage ready to be fitted.

    One that another run fitted with the same settings on the same data is taken over; one that starts from nothing gets
    the backbone weights that the settings name.

    Raises:
        ValueError: the backbone is frozen and has no weights to keep.
    """
    finished, config = run.path / f"{stage.name}.ckpt", run.config
    if not finished.exists() and not config["fresh"]:
        _take_over(stage.name, run)
    if not finished.exists() and stage.name in FROM_WEIGHTS:
        log.info("%s starts from %s", stage.name, stage.start(config[FROM_WEIGHTS[stage.name]]["weights"]))
    return stage


def _take_over(stage: str, run: Run) -> None:
    key = json.loads((run.path / "stages.json").read_text())[stage]
    for other in sorted(run.path.parent.parent.glob("*/*/stages.json")):
        finished = other.with_name(f"{stage}.ckpt")
        if finished.exists() and json.loads(other.read_text()).get(stage) == key:
            log.info("%s: the same settings were fitted in %s, its weights are taken", stage, other.parent)
            with written(run.path / f"{stage}.ckpt") as draft:
                shutil.copyfile(finished, draft)
            return
