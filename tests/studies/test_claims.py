"""The page of verdicts: every figure on it is looked up."""

import shutil
from pathlib import Path

import pytest

from fashion_lsh.report.__main__ import main
from fashion_lsh.studies.claims import TEMPLATE, Estimate, Experiments, write_verdict

KEPT = Path(__file__).parents[2] / "experiments"


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


def test_the_page_that_is_kept_is_what_its_command_writes(tmp_path: Path) -> None:
    shutil.copytree(KEPT, tmp_path / "experiments")
    (tmp_path / "experiments/README.md").unlink()
    assert main([str(tmp_path / "experiments")]) == 0
    assert (tmp_path / "experiments/README.md").read_text() == (KEPT / "README.md").read_text()
    assert "<table>" in (tmp_path / "experiments/index.html").read_text()


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
