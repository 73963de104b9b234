"""Learning curves of each stage."""

from collections.abc import Iterator

from fashion_lsh.report import curves, figures
from fashion_lsh.report.blocks import Block, Figure, Text
from fashion_lsh.report.run_data import RunData


def learning(run_data: RunData) -> list[Block]:
    """Plot the learning curves of each stage; a note for a stage that was not trained in this run."""
    blocks: list[Block] = []
    stages = {"detector": run_data.config["detector"], "classifier": True, "hash_head": run_data.config["hash"]}
    for stage in (name for name, is_used in stages.items() if is_used):
        joined = curves.learning_curves(run_data.logs, stage)
        uses_best_epoch = run_data.results.value(stage, "best_epoch", split="train") is not None
        blocks += _plot(stage, joined, uses_best_epoch) if joined else [_not_trained(stage)]
    return blocks


def _plot(stage: str, joined: curves.Curves, uses_best_epoch: bool) -> Iterator[Block]:
    caption = f"Training of the {stage}. Dots: ends of epochs."
    monitored = {"val/code_map": "mAP of the codes", "val/accuracy": "accuracy"}
    for name in [name for name in monitored if name in joined][:1]:
        best = joined[name][joined[name][:, 2].argmax()]
        note = "whose weights are used" if uses_best_epoch else "but the weights of the last epoch are used"
        caption += f" Best validation {monitored[name]}: {best[2]:.3f} in epoch {best[1] + 1:.0f}, {note}."
    yield Figure(f"learning-{stage}.svg", figures.learning(joined), caption)
    first_epoch = min(points[0, 1] for points in joined.values())
    if first_epoch > 0:
        yield Text(
            f"The logs of the {stage} begin in epoch {first_epoch + 1:.0f}; the logs of earlier epochs are missing.",
            note=True,
        )


def _not_trained(stage: str) -> Text:
    text = f"No curves of the {stage}: it was not trained in this run, but reused from a run with the same settings "
    return Text(f"{text}(see train.log), or its logs were removed.", note=True)
