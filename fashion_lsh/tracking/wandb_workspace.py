"""The wandb workspace of a project, as code."""

from typing import Any

import wandb
import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws
from wandb.errors import Error as WandbError

__all__ = ["WandbError", "save_workspace", "workspace"]

NAME = "fashion-lsh"
WIDTH = 24  # columns of a section; three panels side by side
TOP1, MAP, RECALL, ITEMS = "query/accuracy", "query/category/map@100", "query/item/recall@10", "query/item/map@100"
MATRIX = {name: name for name in ("Actual", "Predicted", "nPredictions")}  # columns of wandb's own chart
CODES = "baselines/code/{}/map@100"


def workspace(entity: str, project: str) -> ws.Workspace:
    """The workspace, of the names under which runs of train.py are logged; evaluate.py logs none.

    Bars are means over the runs that share a setting, with their deviation; runs without a panel's names are left out
    of it. It serialises without an account.
    """
    return ws.Workspace(entity=entity, project=project, name=NAME, auto_generate_panels=False, sections=_sections())


def _sections() -> list[ws.Section]:
    panels_by_section = {"Overview": _overview_panels(), **_stage_panels(), **_search_panels()}
    return [_section(name, panels) for name, panels in panels_by_section.items()]


def _overview_panels() -> list[Any]:
    return [
        *[_bars(title, name, "Group") for title, name in (("top-1", TOP1), ("category mAP@100", MAP))],
        _bars("item recall@10", RECALL, "Group"),
        _media("queries, their crops and what was found", "query/sheet"),
        wr.WeavePanelSummaryTable(table_name="query/retrieved"),
        wr.CustomChart(query={"summaryTable": {"tableKey": "query/confusion_matrix_table"}}, chart_fields=MATRIX,
                       chart_name="wandb/confusion_matrix/v1"),
        wr.RunComparer(diff_only="split"),
    ]  # fmt: skip


def _stage_panels() -> dict[str, list[Any]]:
    """Panels of the trained stages, by section."""
    return {
        "Backbones": [
            *[_bars(title, name, wr.Config("backbone.name")) for title, name in (
                ("top-1", TOP1), ("macro F1", "query/macro_f1"),
                ("category mAP@100, float", "baselines/float/category/map@100"))],
            _lines("loss of the classifier", "classifier", "train/loss", wr.Config("backbone.name")),
            _lines("accuracy on val", "classifier", "val/accuracy", wr.Config("backbone.name")),
            _points("top-1 and FLOPs of a picture", "model/flops", TOP1, log_x=True),
            _points("top-1 and milliseconds a picture", "speed/network_ms", TOP1, log_x=True),
        ],
        "Detector": [
            _bars("AP50 of boxes", "detector/query/box_ap50", wr.Config("detector.level")),
            _bars("queries without a box", "crop/query/undetected", wr.Config("detector.level")),
            _bars("top-1 by crop", TOP1, wr.Config("crop.mode")),
            *[_lines(title, "detector", f"train/{name}") for title, name in (
                ("loss of the detector", "loss"), ("… of its classes", "loss_classifier"),
                ("… of its boxes", "loss_box_reg"), ("… of its proposals", "loss_objectness"))],
            _media("true and found boxes", "detector/boxes"),
        ],
        "Hash layer": [
            *[_bars(title, name, wr.Config("method")) for title, name in (
                ("top-1", TOP1), ("item recall@10", RECALL), ("item mAP@100, codes alone", CODES.format("item")),
                ("entropy of a bit", "codes/entropy"), ("correlation of bits", "codes/correlation"),
                ("quantisation error", "codes/quantisation_error"))],
            _lines("loss of the hash layer", "hash_head", "train/loss", wr.Config("method")),
            _lines("accuracy on val", "hash_head", "val/accuracy", wr.Config("method")),
        ],
    }  # fmt: skip


def _search_panels() -> dict[str, list[Any]]:
    """Panels of code length, distances and speed, by section."""
    return {
        "Bits": [
            *[_bars(title, name, wr.Config("hash.bits")) for title, name in (
                ("category mAP@100, codes alone", CODES.format("category")),
                ("item mAP@100, codes alone", CODES.format("item")),
                ("distinct codes, share", "codes/distinct_ratio"))],
        ],
        "Distances": [
            *[_bars(title, name, wr.Config("search.distance")) for title, name in (
                ("category mAP@100", MAP), ("item mAP@100", ITEMS), ("milliseconds a search", "speed/search_ms"))],
        ],
        "Speed-up": [
            *[_bars(title, name, wr.Config("search.nprobe")) for title, name in (
                ("milliseconds a search", "speed/search_ms"), ("its 95th percentile", "speed/search_ms_p95"),
                ("milliseconds from picture to hits", "speed/end_to_end_ms"), ("item recall@10", RECALL))],
            _points("item recall@10 and milliseconds a search", "speed/search_ms", RECALL),
        ],
    }  # fmt: skip


def _section(name: str, panels: list[Any]) -> ws.Section:
    """Panels in rows of three, each as wide and as high as the others."""
    width, height = WIDTH // 3, 6
    for number, panel in enumerate(panels):
        panel.layout = wr.Layout(x=number % 3 * width, y=number // 3 * height, w=width, h=height)
    return ws.Section(name=name, panels=panels, is_open=name == "Overview")


def _bars(title: str, name: str, group: str | wr.Config) -> wr.BarPlot:
    return wr.BarPlot(
        title=title, metrics=[name], groupby=group, groupby_aggfunc="mean", groupby_rangefunc="stddev", orientation="v"
    )


def _lines(title: str, stage: str, name: str, group: wr.Config | None = None) -> wr.LinePlot:
    """Against the stage's own steps."""
    return wr.LinePlot(title=title, x=f"{stage}/step", y=[f"{stage}/{name}"], groupby=group, title_x="step")


def _points(title: str, x: str, y: str, log_x: bool = False) -> wr.ScatterPlot:
    return wr.ScatterPlot(title=title, x=wr.SummaryMetric(x), y=wr.SummaryMetric(y), log_x=log_x)


def _media(title: str, name: str) -> wr.MediaBrowser:
    return wr.MediaBrowser(title=title, media_keys=[name])


def save_workspace(entity: str, project: str) -> None:
    """Save the workspace to an account.

    Args:
        entity: of the project; "": the default entity of the account.
        project: name of the project.

    Raises:
        ValueError: not logged in.
        WandbError: wandb refuses.
    """
    if not wandb.login(prompt=False, verify=False):
        raise ValueError("nobody is logged in: type wandb login, then this again")
    workspace(entity or str(wandb.Api().default_entity), project).save()
