"""The page of claims: every figure on it is read from the records of the experiments."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fashion_lsh.metrics.statistics import paired_difference
from fashion_lsh.report.html import write_html
from fashion_lsh.studies.claims import TEMPLATE, Estimate, Experiments, write_verdict
from tests.studies import made_up

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def asking(folder: Path, template: str) -> str:
    """A page of one template, beside an experiment of two arms and two seeds."""
    (folder / "bits").mkdir(exist_ok=True)
    (folder / "bits/results.csv").write_text(
        "hash,seed,top-1,top-1 low,top-1 high,chance\n"
        "csq,0,0.5,0.4,0.6,0.35\ncsq,1,0.75,0.7,0.8,0.35\n"
        "lsh,0,0.25,0.2,0.3,0.35\nlsh,1,0.375,0.3,0.4,0.35\n"
    )
    (folder / TEMPLATE).write_text(template)
    return write_verdict(folder).read_text()


@pytest.fixture
def experiments(tmp_path: Path) -> Path:
    """Made-up records of all experiments but one row, and the template of the real ones."""
    made_up.backbones(tmp_path)
    made_up.hash_layers(tmp_path)
    made_up.crops(tmp_path)
    made_up.measured(tmp_path)
    made_up.stability(tmp_path)
    (tmp_path / TEMPLATE).write_text((EXPERIMENTS / TEMPLATE).read_text())
    return tmp_path


def claims_of(page: Path) -> list[list[str]]:
    """Cells of the table: claim, verdict, figure, interval, how it is measured, experiment."""
    lines = [line.strip("|").split("|") for line in page.read_text().splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line] for line in lines[2:]]


def test_the_template_of_the_experiments_is_filled_from_their_records(experiments: Path) -> None:
    page = write_verdict(experiments)
    rows = claims_of(page)
    assert "<table>" in write_html(page).read_text()
    assert Counter(row[5].partition("]")[0] for row in rows) == {
        "[backbones": 4, "[backbones/garments": 3, "[crops": 2, "[crops/scenes": 1, "[hash_layer": 4,
        "[hash_layer/garments": 1, "[distances": 4, "[speedup": 5, "[stability": 7,
    }  # fmt: skip
    assert Counter(row[1].strip("*") for row in rows) == {
        "holds": 15, "does not hold": 11, "not shown": 4, "not measured yet": 1
    }  # fmt: skip
    assert [row[1:3] for row in rows if row[5].startswith("[backbones]")] == [
        ["**holds**", "+0.500"], ["**does not hold**", "-0.250"], ["not measured yet", "–"], ["**not shown**", "+0.000"]
    ]  # fmt: skip
    assert [row[1] for row in rows if row[4].startswith("it did not train")] == ["not shown"]


def test_a_paired_difference_is_that_of_the_jobs_queries(experiments: Path) -> None:
    found = Experiments(experiments).apart("hash_layer", "item recall@10", arm="hash=greedyhash", base="hash=none")
    base, arm = (made_up.right(share) for share in (0.75, 0.5))
    wanted = paired_difference([base] * 3, [arm] * 3, np.arange(made_up.QUERIES))
    assert found == pytest.approx((wanted.mean, wanted.low, wanted.high), abs=1e-5)
    [row] = [row for row in claims_of(write_verdict(experiments)) if row[0] == "… and of items"]
    assert row[2] == "-0.500"


def test_an_experiment_whose_jobs_are_gone_is_named_and_the_page_stays(experiments: Path) -> None:
    page = write_verdict(experiments)
    before = page.read_text()
    for file in (experiments / "hash_layer/jobs").iterdir():
        file.unlink()
    with pytest.raises(FileNotFoundError, match=str(experiments / "hash_layer")):
        write_verdict(experiments)
    assert page.read_text() == before


@pytest.mark.parametrize(
    ("figure", "above", "verdict"),
    [
        (Estimate(0.1, 0.05, 0.2), 0.0, "holds"),
        (Estimate(0.1, 0.05, 0.2), 0.1, "not shown"),
        (Estimate(0.1, 0.05, 0.2), 0.3, "does not hold"),
        (Estimate(-0.02, -0.025, 0.01), -0.03, "holds"),
        (Estimate(0.1, 0.0, 0.2), 0.0, "not shown"),
    ],
)
def test_a_claim_holds_where_the_whole_interval_does(figure: Estimate, above: float, verdict: str) -> None:
    assert figure.shown(above) == verdict


def test_figures_of_rows_and_of_pairs_of_rows(tmp_path: Path) -> None:
    asking(tmp_path, "")
    of, first, other = Experiments(tmp_path), {"hash": "csq", "seed": "0"}, {"hash": "lsh", "seed": "0"}
    assert of.estimate("bits", "top-1", first) == (0.5, 0.4, 0.6)
    assert of.by_seed("bits", "top-1", {"hash": "csq"}, {"hash": "lsh"}) == (0.3125, 0.25, 0.375)
    assert of.unpaired("bits", "top-1", first, other) == pytest.approx((0.25, 0.1, 0.4))
    assert of.seeds("bits", {"hash": "csq"}, {"hash": "lsh"}) == 2
    assert of.seeds("bits", {"hash": "csq"}, {"hash": "lsh", "seed": "1"}) == 1
    assert of.value("bits", "chance", first) == 0.35
    assert of.best("bits", "top-1", {"hash": "csq"})["seed"] == "1"
    assert of.best("bits", "chance", {"hash": "lsh"})["seed"] == "0"
    assert of.over("bits", "top-1", {"hash": "lsh"}) == (0.3125, 0.25, 0.375)
    assert of.over("bits", "top-1 high", {"hash": "csq"}, less="top-1 low") == pytest.approx((0.15, 0.1, 0.2))
    assert (of.measured("bits"), of.measured("crops")) == (True, False)
    assert (of.measured("bits", first), of.measured("bits", {"hash": "itq"})) == (True, False)
    assert not of.measured("crops", first)
    assert (of.trained("bits", {"hash": "csq"}), of.trained("bits", {"hash": "lsh"})) == (True, False)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("of.estimate('bits', 'top-1', {'hash': 'csq'})", "bits: 2 rows of results.csv are"),
        ("of.estimate('bits', 'top-1', {'hash': 'itq'})", "bits: no row of results.csv is"),
        ("of.value('bits', 'top-1', {'hash': 'csq'})", "bits: 2 rows of results.csv are"),
        ("of.best('bits', 'mAP', {'hash': 'csq'})", "bits: results.csv has no 'mAP'"),
        ("of.over('bits', 'top-1', {'hash': 'itq'})", "bits: no row of results.csv is"),
        ("of.over('bits', 'top-1', {'hash': 'csq', 'seed': '0'})", "and one has no spread"),
        (
            "of.by_seed('bits', 'top-1', {'hash': 'csq', 'seed': '0'}, {'hash': 'lsh', 'seed': '1'})",
            "no seed in common",
        ),
        ("of.estimate('bits', 'mAP', {'hash': 'csq', 'seed': '0'})", "bits: results.csv has no 'mAP'"),
        ("of.estimate('bot', 'top-1', {})", "bot: no results.csv"),
        ("figure", "'figure' is undefined"),
    ],
)
def test_a_figure_that_is_no_one_number_is_named_and_the_page_stays(tmp_path: Path, asked: str, message: str) -> None:
    asking(tmp_path, "as it was")
    with pytest.raises(ValueError, match=message):
        asking(tmp_path, "{{ " + asked + " }}")
    assert (tmp_path / "README.md").read_text() == "as it was"
