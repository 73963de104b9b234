"""Log a run to Weights & Biases."""

import hashlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import wandb
from pytorch_lightning.loggers import WandbLogger

from fashion_lsh.evaluation.protocol import EncodedSplit
from fashion_lsh.metrics.results import QUERY_METRICS, ResultTable
from fashion_lsh.report.phrases import backbone_name, describe_code
from fashion_lsh.report.tiles import Tile, column_titles, draw_sheet
from fashion_lsh.runs.tracker import Tracker

log = logging.getLogger(__name__)

Handle = Any  # a wandb.Run; the type hints of wandb are incomplete
TIMEOUT_S = 30.0  # timeout of the connection to wandb
NOT_DETECTED = "not detected"  # predicted category of a query without a detection
BEST_METRICS = {  # summarised by the best value
    "val/accuracy": "max", "val/code_map": "max", "val/macro_f1": "max", "val/loss": "min",
}  # fmt: skip


class WandbTracker:
    """Tracker that logs to a wandb run, with a step counter for each stage.

    Lightning's logger uses one `trainer/global_step`, which restarts at 0 in the second stage.
    """

    def __init__(self, run: Handle) -> None:
        self.run = run
        self.config: dict[str, Any] = {}  # written by Lightning; the config of the wandb run stays unchanged
        self._stages: set[str] = set()

    def loggers(self) -> list[WandbLogger]:
        """Return the Lightning logger of this run."""
        return [WandbLogger(experiment=self)]  # type: ignore[arg-type]  # implements the run's interface

    def log(self, row: Mapping[str, Any]) -> None:
        """Log the metrics of one stage with their `epoch` and `trainer/global_step`, as passed by Lightning."""
        stage = next(name.partition("/")[0] for name in row if name not in ("epoch", "trainer/global_step"))
        if stage not in self._stages:
            self._define(stage)
        renamed = {"epoch": f"{stage}/epoch", "trainer/global_step": f"{stage}/step"}
        self.run.log({renamed.get(name, name): value for name, value in row.items()})

    def _define(self, stage: str) -> None:
        """Define the step axis of a stage's metrics, and summarise BEST_METRICS by their best value."""
        self._stages.add(stage)
        step = f"{stage}/step"
        for name in (step, f"{stage}/epoch"):
            self.run.define_metric(name, hidden=True)
        self.run.define_metric(f"{stage}/*", step_metric=step)
        for name, mode in BEST_METRICS.items():
            self.run.define_metric(f"{stage}/{name}", step_metric=step, summary=mode)

    def publish(
        self,
        results: ResultTable,
        query: EncodedSplit,
        categories: Sequence[str],
        sheet: Sequence[Sequence[Tile]],
        scenes: Sequence[Tile] = (),
    ) -> None:
        """Log the results of a run: scores, confusion matrix, PR curves, contact sheet, detected boxes.

        Args:
            results: all results; those without relevance, QUERY_METRICS and their macro averages are written to the
                summary by their flat names.
            query: encoded queries.
            categories: category names, in the order of the probabilities.
            sheet: tiles of each query (image, crop, hits), logged as a table and as one image; empty without images.
            scenes: images with annotated and detected boxes.
        """
        names = {*QUERY_METRICS, ("radius_precision", 2)}
        shown = [row for row in results if not row.relevance or (row.metric.removeprefix("macro_"), row.k) in names]
        self.run.summary.update(ResultTable(shown, results.search).flat())
        columns = column_titles(max(map(len, sheet), default=2) - 2)
        retrieved = {
            "query/retrieved": _image_table(sheet, columns),
            "query/sheet": wandb.Image(draw_sheet(sheet, columns)),
        } if sheet else {}  # fmt: skip
        self.run.log(
            {
                **_confusion_plots(query, categories),
                **retrieved,
                **({"detector/boxes": [_image(tile) for tile in scenes]} if scenes else {}),
            }
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self.run, name)


def _run_id(name: str, folder: Path) -> str:
    """Run id: folder name (8 hex digits of the config hash), and 4 hex digits of the hashed run name."""
    return f"{folder.name}-{hashlib.sha256(name.encode()).hexdigest()[:4]}"


@contextmanager
def track_wandb_run(folder: Path, config: Mapping[str, Any]) -> Iterator[Tracker]:
    """Track the block as a wandb run; an exception marks the run as failed.

    The run is online if the user is logged in, else offline; WANDB_MODE takes precedence. All files are written to
    `<folder>/wandb`.
    """
    logger_config = config["logger"]
    mode = os.environ.get("WANDB_MODE") or ("online" if wandb.login(prompt=False, verify=False) else "offline")
    with _wandb_data_dir(folder / "wandb" / "data"):
        run = _init_run(
            mode,
            project=logger_config["project"],
            dir=folder,
            id=None
            if config["overwrite"]
            else _run_id(config["name"], folder),  # a resumed training continues its wandb run
            resume=None if config["overwrite"] else "allow",
            name=f"{config['name']}-{folder.name}",
            group=str(config["name"]),
            tags=[*logger_config["tags"], backbone_name(config["backbone"]), str(config["data"]["source"])],
            config={**config, "method": describe_code(config["hash"])},
            settings=wandb.Settings(silent=True, init_timeout=TIMEOUT_S),
        )
        try:
            yield WandbTracker(run)
        except BaseException:
            wandb.finish(exit_code=1)
            raise
        wandb.finish()


def _init_run(mode: str, **options: Any) -> Handle:
    """Start a wandb run; offline if wandb is unreachable."""
    try:
        return wandb.init(mode=mode, **options)  # type: ignore[arg-type]
    except wandb.errors.CommError as error:
        reason = str(error).partition("\n")[0]
        log.warning("wandb is unreachable (%s): tracking offline; upload the run later with `wandb sync`", reason)
        wandb.teardown()  # otherwise the service process of wandb still owns the run id
        return wandb.init(mode="offline", **options)


def _confusion_plots(query: EncodedSplit, categories: Sequence[str]) -> dict[str, Any]:
    """Confusion matrix and PR curves over the queries with a known category; empty without such queries."""
    labels = query.catalogue.labels(categories)
    encoded, labels = query.encoded.take(labels >= 0), labels[labels >= 0]
    if not len(labels):
        return {}
    predicted = np.where(encoded.predicted < 0, len(categories), encoded.predicted)
    matrix = wandb.plot.confusion_matrix(
        y_true=labels.tolist(), preds=predicted.tolist(), class_names=[*categories, NOT_DETECTED], title="Categories"
    )
    return {"query/confusion_matrix": matrix, "query/pr_curve": _pr_curve(encoded.probabilities, labels, categories)}


@contextmanager
def _wandb_data_dir(folder: Path) -> Iterator[None]:
    """Set WANDB_DATA_DIR to `folder`, unless the user has set it.

    By default, wandb stores the images of tables in the user's data folder, so a copied run would lack these images.
    The folder can only be set by the environment variable, not in wandb.Settings.
    """
    if "WANDB_DATA_DIR" in os.environ:
        yield
        return
    os.environ["WANDB_DATA_DIR"] = str(folder.absolute())
    try:
        yield
    finally:
        del os.environ["WANDB_DATA_DIR"]


def _image_table(sheet: Sequence[Sequence[Tile]], columns: Sequence[str]) -> wandb.Table:
    """Table with one row per query; missing hits are None."""
    table = wandb.Table(columns=list(columns))
    for row in sheet:
        images = [_image(tile) for tile in row]
        table.add_data(*images, *[None] * (len(columns) - len(images)))
    return table


def _image(tile: Tile) -> wandb.Image:
    """Image of a tile with its boxes; for a crop, the original image."""
    image, box = tile.original or (tile.image, tile.box)
    groups = {"annotated": _boxes(box, tile.caption), "detected": _boxes(tile.detections, "")}
    nonempty = {name: boxes for name, boxes in groups.items() if boxes}
    return wandb.Image(image, caption=_caption(tile), boxes=nonempty or None)


def _caption(tile: Tile) -> str:
    return f"{tile.caption} {tile.mark}".strip()


def _boxes(boxes: np.ndarray | None, caption: str) -> dict[str, Any] | None:
    """Convert boxes, (4,) or (n, 4) xyxy in pixels, to wandb's format; None without valid boxes."""
    rows = np.empty((0, 4)) if boxes is None else boxes.reshape(-1, 4)
    names = ("minX", "minY", "maxX", "maxY")
    data = [
        {
            "position": dict(zip(names, box.tolist(), strict=True)),
            "domain": "pixel",
            "class_id": 0,
            "box_caption": caption,
        }
        for box in rows
        if not np.isnan(box).any()
    ]
    return {"box_data": data, "class_labels": {0: "garment"}} if data else None


def _pr_curve(probabilities: np.ndarray, labels: np.ndarray, categories: Sequence[str]) -> Any:
    """Interpolated precision of each category at 101 recall levels.  probabilities: (Q, C); labels: (Q,)."""
    grid = np.linspace(0, 1, 101)
    curves = []
    for index in range(len(categories)):
        is_category = (labels == index)[np.argsort(-probabilities[:, index], kind="stable")]
        hits = np.cumsum(is_category)
        recalls, precisions = hits / max(1, hits[-1]), hits / np.arange(1, len(hits) + 1)
        envelope = np.maximum.accumulate(precisions[::-1])[::-1]
        curves.append(envelope[np.minimum(np.searchsorted(recalls, grid), len(hits) - 1)].tolist())
    return wandb.plot.line_series(
        xs=grid.tolist(), ys=curves, keys=list(categories), title="Precision and recall", xname="recall"
    )
