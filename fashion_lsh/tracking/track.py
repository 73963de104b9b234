"""Track a run with Weights & Biases and with a user's own trackers."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fashion_lsh.runs.trackers import Trackers, create_trackers


@contextmanager
def track_run(folder: Path, config: Mapping[str, Any]) -> Iterator[Trackers]:
    """Track the block with all trackers that `logger` of the config names.

    Args:
        folder: run folder.
        config: config of the run.
    """
    own_trackers = create_trackers(config["logger"]["trackers"], folder, config)
    if config["logger"]["project"] is None:
        yield Trackers(own_trackers)
        return
    from fashion_lsh.tracking.wandb_run import track_wandb_run  # wandb is slow to import

    with track_wandb_run(folder, config) as tracker:
        yield Trackers({"logger=wandb": tracker} | own_trackers)
