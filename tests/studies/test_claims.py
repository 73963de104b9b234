"""Every number on the claims page is read from the result files of the experiments."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t as student

from fashion_lsh.metrics.statistics import paired_difference
from fashion_lsh.report.html import write_html
from fashion_lsh.studies.claims import TEMPLATE, Estimate, Experiments, write_claims
from tests.studies import factories

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def render_claims(folder: Path, template: str) -> str:
    """Render a template next to an experiment with two methods and two seeds."""
    (folder / "bits").mkdir(exist_ok=True)
    (folder / "bits/results.csv").write_text(
        "hash,seed,top-1,top-1 low,top-1 high,chance\n"
        "csq,0,0.5,0.4,0.6,0.35\ncsq,1,0.75,0.7,0.8,0.35\n"
        "lsh,0,0.25,0.2,0.3,0.35\nlsh,1,0.375,0.3,0.4,0.35\n"
    )
    (folder / TEMPLATE).write_text(template)
    return write_claims(folder).read_text()


@pytest.fixture
def experiments(tmp_path: Path) -> Path:
    """Fake results of all experiments, except VGG16 with batch norm, and the template of the package."""
    factories.write_backbone_results(tmp_path)
    factories.write_hash_layer_results(tmp_path)
    factories.write_crop_results(tmp_path)
    factories.write_distance_and_speedup_results(tmp_path)
    factories.write_stability_results(tmp_path)
    (tmp_path / TEMPLATE).write_text((EXPERIMENTS / TEMPLATE).read_text())
    return tmp_path


def read_claims(page: Path) -> list[list[str]]:
    """Return the table cells: claim, status, value, interval, metric, experiment."""
    lines = [line.strip("|").split("|") for line in page.read_text().splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line] for line in lines[2:]]


def test_the_claims_template_is_rendered_from_the_result_files(experiments: Path) -> None:
    page = write_claims(experiments)
    rows = read_claims(page)
    assert "<table>" in write_html(page).read_text()
    assert Counter(row[5].partition("]")[0] for row in rows) == {
        "[backbones": 4, "[backbones/garments": 3, "[crops": 2, "[crops/scenes": 1, "[hash_layer": 4,
        "[hash_layer/garments": 1, "[distances": 4, "[speedup": 5, "[stability": 7,
    }  # fmt: skip
    assert Counter(row[1].strip("*") for row in rows) == {
        "holds": 9, "does not hold": 7, "not shown": 2, "too few runs (1)": 9, "too few runs (3)": 3,
        "not measured yet": 1,
    }  # fmt: skip
    assert [row[1:3] for row in rows if row[5].startswith("[backbones]")] == [
        ["**holds**", "+0.500"], ["too few runs (1)", "-0.250"], ["not measured yet", "–"], ["**not shown**", "+0.000"]
    ]  # fmt: skip
    assert [row[1] for row in rows if row[4].startswith("at chance level")] == ["not shown"]


def test_a_paired_difference_is_computed_from_the_query_scores_of_the_jobs(experiments: Path) -> None:
    difference = Experiments(experiments).paired_difference(
        "hash_layer", "item recall@10", method="hash=greedyhash", base="hash=none"
    )
    base, method = (factories.query_scores(ratio) for ratio in (0.75, 0.5))
    expected = paired_difference([base] * 5, [method] * 5, np.arange(factories.NUM_QUERIES))
    assert difference == pytest.approx((expected.mean, expected.low, expected.high, 5), abs=1e-5)
    [row] = [row for row in read_claims(write_claims(experiments)) if row[0] == "… and item recall"]
    assert row[2] == "-0.500"


def test_an_experiment_with_missing_jobs_is_rejected_and_the_page_is_unchanged(experiments: Path) -> None:
    page = write_claims(experiments)
    before = page.read_text()
    for file in (experiments / "hash_layer/jobs").iterdir():
        file.unlink()
    with pytest.raises(FileNotFoundError, match=str(experiments / "hash_layer")):
        write_claims(experiments)
    assert page.read_text() == before


@pytest.mark.parametrize(
    ("estimate", "threshold", "status"),
    [
        (Estimate(0.1, 0.05, 0.2), 0.0, "**holds**"),
        (Estimate(0.1, 0.05, 0.2), 0.1, "**not shown**"),
        (Estimate(0.1, 0.05, 0.2, 5), 0.3, "**does not hold**"),
        (Estimate(-0.02, -0.025, 0.01, 10), -0.03, "**holds**"),
        (Estimate(0.1, 0.0, 0.2), 0.0, "**not shown**"),
        (Estimate(0.1, 0.05, 0.2, 4), 0.0, "too few runs (4)"),
        (Estimate(0.1, 0.05, 0.2, 1), 0.3, "too few runs (1)"),
    ],
)
def test_a_claim_holds_if_the_whole_interval_is_above_the_threshold(
    estimate: Estimate, threshold: float, status: str
) -> None:
    assert estimate.status(threshold) == status


def test_percentages_have_a_space() -> None:
    estimate = Estimate(0.1716, -0.0001, 0.25)
    assert (estimate.format(".1%"), estimate.interval(".1%")) == ("17.2 %", "[0.0 %, 25.0 %]")


@pytest.mark.parametrize(("estimate", "text"), [
    (Estimate(0.1, 0.05, 0.2, 1), "[0.05, 0.20], 1 run"), (Estimate(0.1, 0.05, 0.2, 3), "[0.05, 0.20], 3 runs"),
    (Estimate(0.1, np.nan, np.nan, 1), "–, 1 run"),
])  # fmt: skip
def test_the_number_of_runs_is_written_beside_the_interval(estimate: Estimate, text: str) -> None:
    assert estimate.interval(".2f") == text


def test_estimates_equal_values_and_differences_of_the_rows(tmp_path: Path) -> None:
    render_claims(tmp_path, "")
    experiments, first, other = Experiments(tmp_path), {"hash": "csq", "seed": "0"}, {"hash": "lsh", "seed": "0"}
    assert experiments.estimate("bits", "top-1", first) == (0.5, 0.4, 0.6, 1)
    assert experiments.estimate("bits", "top-1", first, None) == (0.5, 0.4, 0.6, None)
    low, high = student.interval(0.95, 1, 0.3125, 0.0625)  # differences 0.25 and 0.375
    by_seed = experiments.difference_by_seed("bits", "top-1", {"hash": "csq"}, {"hash": "lsh"})
    assert by_seed == pytest.approx((0.3125, low, high, 2))
    assert experiments.unpaired_difference("bits", "top-1", first, other) == pytest.approx((0.25, 0.1, 0.4, 1))
    assert experiments.value("bits", "chance", first) == 0.35
    assert experiments.best("bits", "top-1", {"hash": "csq"})["seed"] == "1"
    assert experiments.best("bits", "chance", {"hash": "lsh"})["seed"] == "0"
    assert experiments.mean_over("bits", "top-1", {"hash": "lsh"}) == (0.3125, 0.25, 0.375, 2)
    assert experiments.mean_over("bits", "top-1 high", {"hash": "csq"}, subtract="top-1 low") == pytest.approx(
        (0.15, 0.1, 0.2, 2)
    )
    assert (experiments.has_results("bits"), experiments.has_results("crops")) == (True, False)
    assert (experiments.has_results("bits", first), experiments.has_results("bits", {"hash": "itq"})) == (True, False)
    assert not experiments.has_results("crops", first)
    assert (experiments.above_chance("bits", {"hash": "csq"}), experiments.above_chance("bits", {"hash": "lsh"})) == (
        True,
        False,
    )


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("experiments.estimate('bits', 'top-1', {'hash': 'csq'})", "bits: 2 rows"),
        ("experiments.estimate('bits', 'top-1', {'hash': 'itq'})", "bits: no row"),
        ("experiments.value('bits', 'top-1', {'hash': 'csq'})", "bits: 2 rows"),
        ("experiments.best('bits', 'mAP', {'hash': 'csq'})", r"bits: results\.csv has no 'mAP'"),
        ("experiments.mean_over('bits', 'top-1', {'hash': 'itq'})", "bits: no row"),
        ("experiments.mean_over('bits', 'top-1', {'hash': 'csq', 'seed': '0'})", "bits: only one row"),
        (
            "experiments.difference_by_seed('bits', 'top-1', {'hash': 'csq', 'seed': '0'}, "
            "{'hash': 'lsh', 'seed': '1'})",
            "bits: no common seed",
        ),
        ("experiments.estimate('bits', 'mAP', {'hash': 'csq', 'seed': '0'})", r"bits: results\.csv has no 'mAP'"),
        ("experiments.estimate('bot', 'top-1', {})", r"bot: results\.csv"),
        ("unknown", "'unknown' is undefined"),
    ],
)
def test_a_value_without_a_single_matching_row_is_rejected_and_the_page_is_unchanged(
    tmp_path: Path, expression: str, message: str
) -> None:
    render_claims(tmp_path, "unchanged")
    with pytest.raises(ValueError, match=message):
        render_claims(tmp_path, "{{ " + expression + " }}")
    assert (tmp_path / "README.md").read_text() == "unchanged"
