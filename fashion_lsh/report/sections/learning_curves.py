"""Learning curves of each stage."""

from collections.abc import Iterator

import numpy as np

from fashion_lsh.report import curves, figures
from fashion_lsh.report.blocks import Block, Figure, Text
from fashion_lsh.report.run_data import RunData


def learning(run_data: RunData) -> list[Block]:
    """Plot the learning curves of each stage; a note for a stage that was not trained in this run."""
    blocks: list[Block] = []
    stages = {"detector": run_data.config["detector"], "classifier": True, "hash_head": run_data.config["hash"]}
    for stage in (name for name, is_used in stages.items() if is_used):
        joined = curves.learning_curves(run_data.logs, stage)
        epoch = run_data.results.value(stage, "best_epoch", split="train")
        is_fitted = stage == "hash_head" and "epochs" not in run_data.config["hash"]
        blocks += _plot(stage, joined, epoch) if joined else [_not_trained(stage, is_fitted)]
    return blocks


def _plot(stage: str, joined: curves.Curves, epoch: float | None) -> Iterator[Block]:
    """Curves of a stage; `epoch`: epoch whose weights are used, from 1, None for the last epoch."""
    caption = f"Training of the {stage}. Dots: ends of epochs."
    names = {"val/code_map": "mAP of the codes", "val/accuracy": "accuracy"}
    for name in [name for name in names if name in joined][:1]:
        points = joined[name][np.isfinite(joined[name][:, 2])]
        used = points[points[:, 1] + 1 == epoch] if epoch else points[-1:]
        which = f"epoch {epoch:.0f}" if epoch else "the last epoch"
        caption += f" The weights of {which} are used"
        caption += f": validation {names[name]} {used[-1, 2]:.3f}." if len(used) else "."
    yield Figure(f"learning-{stage}.svg", figures.learning(joined), caption)
    first_epoch = min(points[0, 1] for points in joined.values())
    if first_epoch > 0:
        yield Text(
            f"The logs of the {stage} begin in epoch {first_epoch + 1:.0f}; the logs of earlier epochs are missing.",
            note=True,
        )


def _not_trained(stage: str, is_fitted: bool) -> Text:
    if is_fitted:
        return Text(f"No curves of the {stage}: its codes are computed without training.", note=True)
    text = f"No curves of the {stage}: it was not trained in this run, but reused from a run with the same settings "
    return Text(f"{text}(see train.log), or its logs were removed.", note=True)
