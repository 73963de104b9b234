"""Define the wandb workspace of a project."""

from typing import Any

import wandb
import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws
from wandb.errors import Error as WandbError

__all__ = ["WandbError", "save_workspace", "workspace"]

NAME = "fashion-lsh"
WIDTH = 24  # number of grid columns of a section, for three panels side by side
TOP1, MAP, RECALL, ITEMS = (
    "classifier/accuracy", "search/category/map@100", "search/item/recall@10", "search/item/map@100",
)  # fmt: skip
MATRIX_FIELDS = {name: name for name in ("Actual", "Predicted", "nPredictions")}  # columns of wandb's confusion matrix
CODES_ONLY = "code/{}/map@100"


def workspace(entity: str, project: str) -> ws.Workspace:
    """Build the workspace, with panels for the metrics logged by the train command; evaluate logs no metrics.

    Bars show mean and standard deviation over the runs with the same setting. A panel omits runs that lack its metrics.
    Building and serialising the workspace needs no account.
    """
    return ws.Workspace(entity=entity, project=project, name=NAME, auto_generate_panels=False, sections=_sections())


def _sections() -> list[ws.Section]:
    panels_by_section = {"Overview": _overview_panels(), **_stage_panels(), **_search_panels()}
    return [_section(name, panels) for name, panels in panels_by_section.items()]


def _overview_panels() -> list[Any]:
    return [
        *[_bars(title, name, "Group") for title, name in (("top-1", TOP1), ("category mAP@100", MAP))],
        _bars("item recall@10", RECALL, "Group"),
        _media("queries, crops and hits", "query/sheet"),
        wr.WeavePanelSummaryTable(table_name="query/retrieved"),
        wr.CustomChart(query={"summaryTable": {"tableKey": "query/confusion_matrix_table"}}, chart_fields=MATRIX_FIELDS,
                       chart_name="wandb/confusion_matrix/v1"),
        wr.RunComparer(diff_only="split"),
    ]  # fmt: skip


def _stage_panels() -> dict[str, list[Any]]:
    """Panels of the trained stages, by section name."""
    return {
        "Backbones": [
            *[_bars(title, name, wr.Config("backbone.name")) for title, name in (
                ("top-1", TOP1), ("macro F1", "classifier/macro_f1"),
                ("category mAP@100, float", "float/category/map@100"))],
            _lines("classifier loss", "classifier", "train/loss", wr.Config("backbone.name")),
            _lines("accuracy on val", "classifier", "val/accuracy", wr.Config("backbone.name")),
            _points("top-1 vs FLOPs per image", "model/flops", TOP1, log_x=True),
            _points("top-1 vs network time per image (ms)", "model/network_ms", TOP1, log_x=True),
        ],
        "Detector": [
            _bars("AP50 of boxes", "detector/box_ap50", wr.Config("detector.level")),
            _bars("queries without a crop box", "detector/undetected", wr.Config("detector.level")),
            _bars("top-1 by crop", TOP1, wr.Config("crop.mode")),
            *[_lines(title, "detector", f"train/{name}") for title, name in (
                ("detector loss", "loss"), ("classification loss", "loss_classifier"),
                ("box regression loss", "loss_box_reg"), ("RPN objectness loss", "loss_objectness"))],
            _media("annotated and detected boxes", "detector/boxes"),
        ],
        "Hash layer": [
            *[_bars(title, name, wr.Config("method")) for title, name in (
                ("top-1", TOP1), ("item recall@10", RECALL), ("item mAP@100, codes only", CODES_ONLY.format("item")),
                ("bit entropy", "code/gallery/entropy"), ("bit correlation", "code/gallery/correlation"),
                ("quantisation error", "code/gallery/quantisation_error"))],
            _lines("hash layer loss", "hash_head", "train/loss", wr.Config("method")),
            _lines("accuracy on val", "hash_head", "val/accuracy", wr.Config("method")),
            _lines("mAP of the codes on val", "hash_head", "val/code_map", wr.Config("method")),
        ],
    }  # fmt: skip


def _search_panels() -> dict[str, list[Any]]:
    """Panels of code length, distances and speed, by section name."""
    return {
        "Bits": [
            *[_bars(title, name, wr.Config("hash.bits")) for title, name in (
                ("category mAP@100, codes only", CODES_ONLY.format("category")),
                ("item mAP@100, codes only", CODES_ONLY.format("item")),
                ("distinct codes (ratio)", "code/gallery/distinct_ratio"))],
        ],
        "Distances": [
            *[_bars(title, name, wr.Config("search.distance")) for title, name in (
                ("category mAP@100", MAP), ("item mAP@100", ITEMS), ("search time (ms)", "search/latency_ms"))],
        ],
        "Speed-up": [
            *[_bars(title, name, wr.Config("search.nprobe")) for title, name in (
                ("search time (ms)", "search/latency_ms"), ("search time, p95 (ms)", "search/latency_ms_p95"),
                ("end-to-end time (ms)", "search/end_to_end_ms"), ("item recall@10", RECALL))],
            _points("item recall@10 vs search time (ms)", "search/latency_ms", RECALL),
        ],
    }  # fmt: skip


def _section(name: str, panels: list[Any]) -> ws.Section:
    """Section with panels of equal size in rows of three."""
    width, height = WIDTH // 3, 6
    for number, panel in enumerate(panels):
        panel.layout = wr.Layout(x=number % 3 * width, y=number // 3 * height, w=width, h=height)
    return ws.Section(name=name, panels=panels, is_open=name == "Overview")


def _bars(title: str, name: str, group: str | wr.Config) -> wr.BarPlot:
    return wr.BarPlot(
        title=title, metrics=[name], groupby=group, groupby_aggfunc="mean", groupby_rangefunc="stddev", orientation="v"
    )


def _lines(title: str, stage: str, name: str, group: wr.Config | None = None) -> wr.LinePlot:
    """Line plot of a stage's metric by the training step of the stage."""
    return wr.LinePlot(title=title, x=f"{stage}/step", y=[f"{stage}/{name}"], groupby=group, title_x="step")


def _points(title: str, x: str, y: str, log_x: bool = False) -> wr.ScatterPlot:
    return wr.ScatterPlot(title=title, x=wr.SummaryMetric(x), y=wr.SummaryMetric(y), log_x=log_x)


def _media(title: str, name: str) -> wr.MediaBrowser:
    return wr.MediaBrowser(title=title, media_keys=[name])


def save_workspace(entity: str, project: str) -> None:
    """Save the workspace to a wandb account.

    Args:
        entity: owner of the project; "": the account's default entity.
        project: project name.

    Raises:
        ValueError: not logged in.
        WandbError: wandb rejects the workspace.
    """
    if not wandb.login(prompt=False, verify=False):
        raise ValueError('not logged in to Weights & Biases; run "wandb login" first')
    workspace(entity or str(wandb.Api().default_entity), project).save()
