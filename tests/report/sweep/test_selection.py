"""Selection of the best value of a setting."""

import re
from pathlib import Path

import pyarrow.csv
import pytest
import yaml

from fashion_lsh.metrics.results import CLASSIFIER, WHOLE_GALLERY, Result, ResultTable
from fashion_lsh.report.page_file import BEGIN, END
from fashion_lsh.report.page_settings import Selection, read_page_settings
from fashion_lsh.report.sweep.jobs import read_jobs
from fashion_lsh.report.sweep.page import write_sweep_page
from fashion_lsh.report.sweep.rows import Estimate, SweepRow, table_rows
from fashion_lsh.report.sweep.selection import select_best
from fashion_lsh.runs.result_file import ResultFile, write_results_file
from tests.report.sweep.factories import OWN_SEARCH, job_path, write_page_settings

ROOT = Path(__file__).parents[3]
RATES = ROOT / "experiments/backbones/rates"
README = f"{BEGIN}\n{END}\n"
SELECTION = Selection(setting="optim.lr", metric="val top-1")


def write_job(folder: Path, backbone: str, rate: float, val: float, low: float = 0.5) -> None:
    settings = {"seed": 0, "backbone": {"name": backbone, "weights": None}, "optim": {"lr": rate}, "hash": None}
    results = [
        Result("accuracy", val, method=CLASSIFIER, split="val"),
        Result("accuracy", 1 - val, low, 1.0, method=CLASSIFIER),
        Result("precision", 0.1, k=10, method="random", scope=WHOLE_GALLERY, relevance="category"),
    ]
    content = ResultFile(ResultTable(results, OWN_SEARCH), settings, {}, "d0", {"fashion-lsh": "0.3.0"})
    write_results_file(job_path(folder, f"{backbone}-{rate}"), content)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "README.md").write_text(README)
    write_page_settings(tmp_path, columns=["val top-1"], selection=SELECTION.model_dump())
    for backbone, scores in (("alexnet", (0.5, 0.7, 0.1)), ("vgg16", (0.3, 0.2, 0.3))):
        for rate, val in zip((0.003, 0.01, 0.05), scores, strict=True):
            write_job(tmp_path, backbone, rate, val, low=0.09 if val == 0.1 else 0.5)
    return tmp_path


def test_selection_by_a_metric_that_no_job_has_is_rejected(folder: Path) -> None:
    with pytest.raises(ValueError, match="item recall@10"):
        select_best(Selection(setting="optim.lr", metric="item recall@10"), table_rows(read_jobs(folder)[0]))


def test_the_row_with_the_highest_metric_is_selected_or_the_first_row_on_ties(folder: Path) -> None:
    best = select_best(SELECTION, table_rows(read_jobs(folder)[0]))
    assert {row.settings["backbone.name"]: row.settings["optim.lr"] for row in best} == {
        "alexnet": 0.01,
        "vgg16": 0.003,
    }


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
        select_best(Selection(setting="optim.warmup", metric="val top-1"), table_rows(read_jobs(folder)[0]))
    write_page_settings(folder, selection={"setting": "optim.lr", "metric": "beauty"})
    with pytest.raises(ValueError, match=r"beauty.*top-1"):
        write_sweep_page(folder)


def test_the_selection_may_use_a_flat_name(folder: Path) -> None:
    write_page_settings(folder, selection={"setting": "optim.lr", "metric": "classifier/val/accuracy"})
    write_sweep_page(folder)
    text = (folder / "README.md").read_text()
    assert "Best optim.lr by classifier/val/accuracy:" in text
    assert re.search(r"\| alexnet +\| 0\.01 +\| 0\.700", text)


def test_the_configured_learning_rates_are_the_selected_rates() -> None:
    configured = yaml.safe_load((ROOT / "conf/experiment/backbones.yaml").read_text())["rates"]
    selection = read_page_settings(RATES).selection
    assert selection == SELECTION
    best = select_best(selection, read_rows(RATES))
    full_budget = select_best(selection, read_rows(RATES / "whole") + read_rows(RATES.parent))
    chosen = best + [row for row in full_budget if row.settings["backbone.name"].startswith("vgg16")]
    assert {row.settings["backbone.name"]: row.settings["optim.lr"] for row in chosen} == configured


def read_rows(folder: Path) -> list[SweepRow]:
    """Read settings and metric of each row of `results.csv`."""
    rows = pyarrow.csv.read_csv(folder / "results.csv").to_pylist()
    names = ("backbone.name", "optim.lr", "seed")
    return [
        SweepRow("", {name: row.get(name) for name in names}, {"val top-1": Estimate(row["val top-1"])}) for row in rows
    ]
