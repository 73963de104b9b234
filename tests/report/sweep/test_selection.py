"""Selection of the best value of a setting."""

import json
import re
from pathlib import Path

import pyarrow.csv
import pytest
import yaml

from fashion_lsh.report.page_file import BEGIN, END, Row
from fashion_lsh.report.sweep.jobs import read_jobs
from fashion_lsh.report.sweep.page import write_sweep_page
from fashion_lsh.report.sweep.rows import table_rows
from fashion_lsh.report.sweep.selection import Selection, read_selection, select_best

ROOT = Path(__file__).parents[3]
RATES = ROOT / "experiments/backbones/rates"
README = f"<!-- columns: val top-1 -->\n<!-- selection: optim.lr by val top-1 -->\n\n{BEGIN}\n{END}\n"
SELECTION = Selection("optim.lr", "val top-1")


def write_job(folder: Path, backbone: str, rate: float, val: float, low: float = 0.5) -> None:
    (folder / "jobs").mkdir(exist_ok=True)
    settings = {"seed": 0, "backbone": {"name": backbone, "weights": None}, "optim": {"lr": rate}, "hash": None}
    metrics = {"classifier/val/accuracy": val, "query/accuracy": 1 - val, "query/accuracy_low": low,
               "query/accuracy_high": 1.0, "baselines/random/category/precision@10": 0.1}  # fmt: skip
    content = {"settings": settings, "data": "d0", "environment": {"fashion-lsh": "0.3.0"}, "metrics": metrics}
    (folder / "jobs" / f"{backbone}-{rate}.json").write_text(json.dumps(content))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "README.md").write_text(README)
    for backbone, scores in (("alexnet", (0.5, 0.7, 0.1)), ("vgg16", (0.3, 0.2, 0.3))):
        for rate, val in zip((0.003, 0.01, 0.05), scores, strict=True):
            write_job(tmp_path, backbone, rate, val, low=0.09 if val == 0.1 else 0.5)
    return tmp_path


def test_selection_by_a_metric_that_no_job_has_is_rejected(folder: Path) -> None:
    with pytest.raises(ValueError, match="item recall@10"):
        select_best(Selection("optim.lr", "item recall@10"), table_rows(read_jobs(folder)[0]))


def test_the_row_with_the_highest_metric_is_selected_or_the_first_row_on_ties(folder: Path) -> None:
    best = select_best(SELECTION, table_rows(read_jobs(folder)[0]))
    assert {row["backbone.name"]: row["optim.lr"] for row in best} == {"alexnet": 0.01, "vgg16": 0.003}


def test_the_page_states_the_selection_and_runs_at_chance_level(folder: Path) -> None:
    write_sweep_page(folder)
    text = (folder / "README.md").read_text()
    [_, chosen] = re.split(r"\n[^\n|]*optim\.lr[^\n|]*val top-1[^\n|]*\n", text.partition(BEGIN)[2])
    assert [[cell.strip() for cell in line.strip("|").split("|")] for line in chosen.strip().splitlines()[2:4]] == [
        ["alexnet", "0.01", "0.700"], ["vgg16", "0.003", "0.300"],
    ]  # fmt: skip
    assert "0.100 (at chance level)" in text
    assert text.count("at chance level") == 1


def test_selection_of_a_constant_setting_or_by_an_unknown_metric_is_rejected(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"optim\.warmup"):
        select_best(Selection("optim.warmup", "val top-1"), table_rows(read_jobs(folder)[0]))
    (folder / "README.md").write_text(README.replace("by val top-1", "by beauty"))
    with pytest.raises(ValueError, match=r"beauty.*top-1"):
        read_selection(folder / "README.md")


def test_the_configured_learning_rates_are_the_selected_rates() -> None:
    configured = yaml.safe_load((ROOT / "conf/experiment/backbones.yaml").read_text())["rates"]
    selection = read_selection(RATES / "README.md")
    assert selection == SELECTION
    best = select_best(selection, read_rows(RATES))
    full_budget = select_best(selection, read_rows(RATES / "whole") + read_rows(RATES.parent))
    chosen = best + [row for row in full_budget if row["backbone.name"].startswith("vgg16")]
    assert {row["backbone.name"]: row["optim.lr"] for row in chosen} == configured


def read_rows(folder: Path) -> list[Row]:
    """Read settings and metric of each row of `results.csv`."""
    rows = pyarrow.csv.read_csv(folder / "results.csv").to_pylist()
    return [{name: row.get(name) for name in ("backbone.name", "optim.lr", "seed", "val top-1")} for row in rows]
