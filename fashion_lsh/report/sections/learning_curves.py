"""Learning curves of each stage."""

from collections.abc import Iterator

from fashion_lsh.report import curves, figures
from fashion_lsh.report.blocks import Block, Figure, Text
from fashion_lsh.report.run_data import RunData


def learning(run_data: RunData) -> list[Block]:
    """Plot the learning curves of each stage; a note for a stage that was not trained in this run."""
    blocks: list[Block] = []
    stages = {"detector": run_data.config["detector"], "classifier": True, "hash_head": run_data.config["hash"]}
    for stage in (name for name, present in stages.items() if present):
        joined = curves.learning_curves(run_data.logs, stage)
        blocks += _fitted(stage, joined, f"{stage}/best_epoch" in run_data.metrics) if joined else [_not_fitted(stage)]
    return blocks


def _fitted(stage: str, joined: curves.Curves, chosen: bool) -> Iterator[Block]:
    caption = f"Training of the {stage}; dots: ends of epochs."
    if "val/accuracy" in joined:
        best = joined["val/accuracy"][joined["val/accuracy"][:, 2].argmax()]
        note = "whose weights are used" if chosen else "but the weights of the last epoch are used"
        caption += f" Best validation accuracy: {best[2]:.3f} in epoch {best[1] + 1:.0f}, {note}."
    yield Figure(f"learning-{stage}.svg", figures.learning(joined), caption)
    first = min(points[0, 1] for points in joined.values())
    if first > 0:
        yield Text(
            f"The logs of the {stage} begin in epoch {first + 1:.0f}; logs of earlier epochs are missing in this run.",
            note=True,
        )


def _not_fitted(stage: str) -> Text:
    text = f"No curves of the {stage}: it was not trained in this run, but reused from a run with the same settings "
    return Text(f"{text}(see train.log), or its logs were removed.", note=True)
