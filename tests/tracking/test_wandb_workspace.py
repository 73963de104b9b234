"""Every panel of the dashboard shows a logged metric."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fashion_lsh.tracking import wandb_workspace
from tests.cli.factories import DETECTOR, script
from tests.tracking.test_wandb_run import logged

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
        script("train.py", *overrides, f"data.root={shapes}", f"runs={folder}")
    records = logged((folder / "latest").resolve())
    history = {name for record in records["history"] for name in map(_name, record.item)}
    summary = {name for record in records["summary"] for name in map(_name, record.update)}
    settings = {name for record in records["run"] for item in record.config.update for name in _paths(item)}
    return {"history": history, "summary": summary, "settings": settings}


def _name(item: Any) -> str:
    return item.key or item.nested_key[0]


def _paths(item: Any) -> Iterator[str]:
    """backbone, backbone.name, …"""
    pending = [(item.key, json.loads(item.value_json))]
    while pending:
        path, value = pending.pop()
        yield path
        pending += [(f"{path}.{name}", inner) for name, inner in value.items()] if isinstance(value, dict) else []


def spec() -> dict[str, Any]:
    return wandb_workspace.workspace("someone", "clothes")._to_model().model_dump(by_alias=True, exclude_none=True)


def panels() -> list[dict[str, Any]]:
    return [panel for section in sections() for panel in section["panels"]]


def sections() -> list[dict[str, Any]]:
    return list(spec()["spec"]["section"]["panelBankConfig"]["sections"])


def test_each_experiment_has_a_section() -> None:
    assert [section["name"] for section in sections()] == SECTIONS
    assert (spec()["entity"], spec()["project"]) == ("someone", "clothes")


def test_panels_do_not_overlap() -> None:
    for section in sections():
        positions = [(panel["layout"]["x"], panel["layout"]["y"]) for panel in section["panels"]]
        assert len(set(positions)) == len(positions)
        assert all(panel["layout"]["x"] + panel["layout"]["w"] <= wandb_workspace.WIDTH for panel in section["panels"])


def test_every_panel_shows_a_logged_name(names: dict[str, set[str]]) -> None:
    kinds: dict[str, int] = {}
    for panel in panels():
        kind, config = panel["viewType"], panel["config"]
        kinds[kind] = kinds.get(kind, 0) + 1
        if kind == "Run History Line Plot":
            assert {config["xAxis"], *config["metrics"]} <= names["history"], config
        elif kind == "Bar Chart":
            assert set(config["metrics"]) <= names["summary"], config
        elif kind == "Scatter Plot":
            assert {config[axis].removeprefix("summary:") for axis in ("xAxis", "yAxis")} <= names["summary"], config
        elif kind == "Media Browser":
            assert set(config["mediaKeys"]) <= names["history"], config
        if "groupBy" in config and config["groupBy"] != "group":
            assert config["groupBy"].replace(".value", "") in names["settings"], config
    assert {"Run History Line Plot", "Bar Chart", "Scatter Plot", "Media Browser"} <= kinds.keys()
    tables = re.findall(
        r"query/[a-z_]+", str([panel["config"] for panel in panels() if panel["viewType"] in ("Vega2", "Weave")])
    )
    assert set(tables) == {"query/retrieved", "query/confusion_matrix_table"}
    assert set(tables) <= names["history"]
