"""Every panel of the workspace shows a logged metric."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fashion_lsh.tracking import wandb_workspace
from tests.cli.factories import DETECTOR, run_script
from tests.tracking.test_wandb_run import logged_records

pytestmark = pytest.mark.train

SECTIONS = ["Overview", "Backbones", "Detector", "Hash layer", "Bits", "Distances", "Speed-up"]


@pytest.fixture(scope="module")
def names(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Names logged by one offline run of all stages: in its history, its summary and its config."""
    folder = tmp_path_factory.mktemp("runs")
    overrides = [override for override in DETECTOR if override not in ("logger=csv", "data.batch_size=16")]
    overrides += [
        "data.batch_size=2",
        "scenes.batch_size=2",
        "trainer.limit_train_batches=12",
    ]  # losses are logged every 10 steps
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        run_script("train.py", *overrides, f"data.root={shapes}", f"runs={folder}")
    records = logged_records((folder / "latest").resolve())
    history = {name for record in records["history"] for name in map(_item_name, record.item)}
    summary = {name for record in records["summary"] for name in map(_item_name, record.update)}
    settings = {name for record in records["run"] for item in record.config.update for name in _setting_paths(item)}
    return {"history": history, "summary": summary, "settings": settings}


def _item_name(item: Any) -> str:
    return item.key or item.nested_key[0]


def _setting_paths(item: Any) -> Iterator[str]:
    """Yield the dotted paths of a config item, for example backbone and backbone.name."""
    pending = [(item.key, json.loads(item.value_json))]
    while pending:
        path, value = pending.pop()
        yield path
        pending += [(f"{path}.{name}", inner) for name, inner in value.items()] if isinstance(value, dict) else []


def workspace_json() -> dict[str, Any]:
    return wandb_workspace.workspace("someone", "clothes")._to_model().model_dump(by_alias=True, exclude_none=True)


def panels() -> list[dict[str, Any]]:
    return [panel for section in sections() for panel in section["panels"]]


def sections() -> list[dict[str, Any]]:
    return list(workspace_json()["spec"]["section"]["panelBankConfig"]["sections"])


def test_workspace_has_all_sections_entity_and_project() -> None:
    assert [section["name"] for section in sections()] == SECTIONS
    assert (workspace_json()["entity"], workspace_json()["project"]) == ("someone", "clothes")


def test_panels_do_not_overlap() -> None:
    for section in sections():
        positions = [(panel["layout"]["x"], panel["layout"]["y"]) for panel in section["panels"]]
        assert len(set(positions)) == len(positions)
        assert all(panel["layout"]["x"] + panel["layout"]["w"] <= wandb_workspace.WIDTH for panel in section["panels"])


def test_every_panel_shows_logged_metrics_and_settings(names: dict[str, set[str]]) -> None:
    panel_types: set[str] = set()
    for panel in panels():
        panel_type, config = panel["viewType"], panel["config"]
        panel_types.add(panel_type)
        if panel_type == "Run History Line Plot":
            assert {config["xAxis"], *config["metrics"]} <= names["history"], config
        elif panel_type == "Bar Chart":
            assert set(config["metrics"]) <= names["summary"], config
        elif panel_type == "Scatter Plot":
            assert {config[axis].removeprefix("summary:") for axis in ("xAxis", "yAxis")} <= names["summary"], config
        elif panel_type == "Media Browser":
            assert set(config["mediaKeys"]) <= names["history"], config
        if "groupBy" in config and config["groupBy"] != "group":
            assert config["groupBy"].replace(".value", "") in names["settings"], config
    assert {"Run History Line Plot", "Bar Chart", "Scatter Plot", "Media Browser"} <= panel_types
    tables = re.findall(
        r"query/[a-z_]+", str([panel["config"] for panel in panels() if panel["viewType"] in ("Vega2", "Weave")])
    )
    assert set(tables) == {"query/retrieved", "query/confusion_matrix_table"}
    assert set(tables) <= names["history"]
