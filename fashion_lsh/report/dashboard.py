"""What a wandb dashboard shows of a run."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import wandb

from fashion_lsh.evaluation.protocol import Pictures
from fashion_lsh.report.sheets import Tile

Tracked = Any  # wandb.Run; its own types are loose


@contextmanager
def tracked(folder: Path, config: Mapping[str, Any]) -> Iterator[Tracked | None]:
    """A wandb run for the block, ended with it, as failed if it raises; None where the settings name no project.

    Online if logged in, else offline, in `<folder>/wandb`; WANDB_MODE decides where it is set.
    """
    settings = config["logger"]
    if settings["project"] is None:
        yield None
        return
    mode = os.environ.get("WANDB_MODE") or ("online" if wandb.login(prompt=False, verify=False) else "offline")
    run = wandb.init(
        project=settings["project"],
        dir=folder,
        name=f"{config['name']}-{folder.name}",
        group=str(config["name"]),
        tags=[*settings["tags"], config["backbone"]["name"], config["data"]["source"]],
        config=dict(config),
        mode=mode,  # type: ignore[arg-type]
        settings=wandb.Settings(silent=True),
    )
    try:
        yield run
    except BaseException:
        wandb.finish(exit_code=1)
        raise
    wandb.finish()


def publish(
    run: Tracked | None,
    metrics: Mapping[str, float],
    query: Pictures,
    categories: Sequence[str],
    sheet: Sequence[Sequence[Tile]],
) -> None:
    """Put the end of a run on its dashboard: scores, confusion matrix, PR curves, a table of retrieved pictures.

    Args:
        run: what `tracked` gave; None: nothing is done.
        metrics: flat means, into the summary.
        query: the queries, encoded.
        categories: names, in the order of the masses.
        sheet: rows of tiles: a query, its crop, and what was found.
    """
    if run is None:
        return
    run.summary.update(dict(metrics))
    masses, labels = query.encoded.masses, query.catalogue.labels(categories)
    columns: list[str | int] = ["query", "crop", *(f"hit {place}" for place in range(1, max(map(len, sheet)) - 1))]
    table = wandb.Table(columns=columns)
    for row in sheet:
        pictures = [wandb.Image(tile.picture, caption=f"{tile.caption} {tile.mark}".strip()) for tile in row]
        table.add_data(*pictures, *[None] * (len(columns) - len(pictures)))
    matrix = wandb.plot.confusion_matrix(
        y_true=labels.tolist(), preds=masses.argmax(axis=1).tolist(), class_names=list(categories)
    )
    curves = _pr_curve(masses, labels, categories)
    run.log({"query/confusion_matrix": matrix, "query/pr_curve": curves, "query/retrieved": table})


def _pr_curve(masses: np.ndarray, labels: np.ndarray, categories: Sequence[str]) -> Any:
    """Precision against recall of each category's mass, at 101 recalls."""
    grid = np.linspace(0, 1, 101)
    curves = []
    for number in range(len(categories)):
        right = (labels == number)[np.argsort(-masses[:, number], kind="stable")]
        hits = np.cumsum(right)
        recalls, precisions = hits / max(1, hits[-1]), hits / np.arange(1, len(hits) + 1)
        best_from = np.maximum.accumulate(precisions[::-1])[::-1]
        curves.append(best_from[np.minimum(np.searchsorted(recalls, grid), len(hits) - 1)].tolist())
    return wandb.plot.line_series(
        xs=grid.tolist(), ys=curves, keys=list(categories), title="Precision and recall", xname="recall"
    )
