"""How a value of a setting is chosen from what jobs tell."""

import json
from pathlib import Path

import pyarrow.csv
import pytest
import yaml

from fashion_lsh.report.page_file import BEGIN, END, Row
from fashion_lsh.report.sweep.jobs import read_jobs
from fashion_lsh.report.sweep.page import gather
from fashion_lsh.report.sweep.rows import rows_of
from fashion_lsh.report.sweep.selection import Selection, best_of, selection_of

ROOT = Path(__file__).parents[3]
RATES = ROOT / "experiments/backbones/rates"
MARKS = f"<!-- columns: val top-1 -->\n<!-- selection: optim.lr by val top-1 -->\n\n{BEGIN}\n{END}\n"
BY_VAL = Selection("optim.lr", "val top-1")


def job(folder: Path, backbone: str, rate: float, val: float, low: float = 0.5) -> None:
    (folder / "jobs").mkdir(exist_ok=True)
    settings = {"seed": 0, "backbone": {"name": backbone, "weights": None}, "optim": {"lr": rate}, "hash": None}
    metrics = {"classifier/val/accuracy": val, "query/accuracy": 1 - val, "query/accuracy_low": low,
               "query/accuracy_high": 1.0, "rows/random/category/precision@10": 0.1}  # fmt: skip
    made = {"settings": settings, "data": "d0", "environment": {"fashion-lsh": "0.3.0"}, "metrics": metrics}
    (folder / "jobs" / f"{backbone}-{rate}.json").write_text(json.dumps(made))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "README.md").write_text(MARKS)
    for backbone, scores in (("alexnet", (0.5, 0.7, 0.1)), ("vgg16", (0.3, 0.2, 0.3))):
        for rate, val in zip((0.003, 0.01, 0.05), scores, strict=True):
            job(tmp_path, backbone, rate, val, low=0.09 if val == 0.1 else 0.5)
    return tmp_path


def test_a_measure_that_no_job_tells_is_named(folder: Path) -> None:
    with pytest.raises(ValueError, match="no job tells item recall@10: name a measure that some do"):
        best_of(Selection("optim.lr", "item recall@10"), rows_of(read_jobs(folder)[0]))


def test_the_highest_wins_and_of_equals_the_first(folder: Path) -> None:
    best = best_of(BY_VAL, rows_of(read_jobs(folder)[0]))
    assert {row["backbone.name"]: row["optim.lr"] for row in best} == {"alexnet": 0.01, "vgg16": 0.003}


def test_the_page_tells_the_choice_and_who_did_not_train(folder: Path) -> None:
    gather(folder)
    text = (folder / "README.md").read_text()
    chosen = text.partition("The best of the values of optim.lr that were tried, by val top-1:")[2]
    assert [[cell.strip() for cell in line.strip("|").split("|")] for line in chosen.strip().splitlines()[2:4]] == [
        ["alexnet", "0.01", "0.700"], ["vgg16", "0.003", "0.300"],
    ]  # fmt: skip
    assert "0.100 (did not train)" in text
    assert text.count("did not train") == 1


def test_a_choice_among_one_value_or_by_an_unknown_measure_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"optim\.warmup is the same in all jobs, or unknown"):
        best_of(Selection("optim.warmup", "val top-1"), rows_of(read_jobs(folder)[0]))
    (folder / "README.md").write_text(MARKS.replace("by val top-1", "by beauty"))
    with pytest.raises(ValueError, match="measure 'beauty' is unknown; known are top-1"):
        selection_of(folder / "README.md")


def test_the_rates_of_the_backbones_are_those_that_their_table_chose() -> None:
    told = yaml.safe_load((ROOT / "conf/experiment/backbones.yaml").read_text())["rates"]
    selection = selection_of(RATES / "README.md")
    assert selection == BY_VAL
    best = best_of(selection, table_of(RATES))
    whole = best_of(selection, table_of(RATES / "whole") + table_of(RATES.parent))
    chosen = best + [row for row in whole if row["backbone.name"].startswith("vgg16")]
    assert {row["backbone.name"]: row["optim.lr"] for row in chosen} == told


def table_of(folder: Path) -> list[Row]:
    """The settings and the measure of each row of a written `results.csv`."""
    rows = pyarrow.csv.read_csv(folder / "results.csv").to_pylist()
    return [{name: row.get(name) for name in ("backbone.name", "optim.lr", "seed", "val top-1")} for row in rows]
