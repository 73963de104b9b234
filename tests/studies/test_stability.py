"""Stability page of runs that differ in seed and split."""

import json
import re
import shutil
from pathlib import Path

import pytest

from fashion_lsh.report.page_file import BEGIN, END, Row
from fashion_lsh.runs.run import Run
from fashion_lsh.studies.stability import by_variation, page, write_stability
from tests.studies.factories import MakeRun, make_repeat, read_results, rows_from_runs


def test_runs_that_do_not_repeat_a_configuration_are_rejected(make_run: MakeRun) -> None:
    rows = rows_from_runs(make_repeat(make_run, "a"), make_repeat(make_run, "b", seed=1, split=1))
    with pytest.raises(ValueError, match="--repeats: no two runs"):
        page(rows)


def test_pairs_of_runs_without_codes_have_no_bits_changed(make_run: MakeRun) -> None:
    rows = rows_from_runs(make_repeat(make_run, "a", bits=None), make_repeat(make_run, "b", seed=1, bits=None))
    assert "bits changed" not in rows[-1]
    assert "hit overlap" in rows[-1]
    assert "bits changed |" not in page(rows)[0]


def run_row(backbone: str, seed: int, split: int, **scores: float) -> Row:
    row = {"row type": "run", "backbone": backbone, "split": split, "seed": seed, "job": f"{backbone}{seed}{split}"}
    return row | {"top-1": 0.7} | scores


def test_groups_vary_only_the_seed_or_the_split() -> None:
    runs = [run_row("resnet101", 0, 0), *(run_row("resnet18", seed, 0) for seed in range(3)), run_row("resnet18", 0, 1)]
    groups = {name: [row["job"] for row in group] for name, group in by_variation(runs).items()}
    assert groups == {
        "resnet101, 1 seed, split 0": ["resnet10100"],
        "resnet18, 3 seeds, split 0": ["resnet1800", "resnet1810", "resnet1820"],
        "resnet18, 2 splits, seed 0": ["resnet1800", "resnet1801"],
    }


def test_the_page_has_spread_worst_category_and_corrupted_queries(runs: list[Run]) -> None:
    text, figures = page(rows_from_runs(*runs))
    assert "0.710 ± 0.010 (0.700 to 0.720)" in text  # three seeds
    assert "0.725 ± 0.035 (0.700 to 0.750)" in text  # two splits
    assert "0.490 ± 0.010" in text
    assert "*bits changed*" in text
    assert "Worst category by top-1: " in text
    assert " (3 of 3 runs)" in text
    assert list(figures) == ["stability.svg"]
    assert b"occlusion" in figures["stability.svg"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Experiment folder without results."""
    path = tmp_path / "page"
    path.mkdir()
    (path / "README.md").write_text(f"# Stability\n\n{BEGIN}\n{END}\n")
    return path


def test_write_stability_writes_the_page(runs: list[Run], folder: Path) -> None:
    assert write_stability(folder, paths(runs)) == folder / "README.md"
    assert {path.name for path in folder.iterdir()} == {
        "README.md", "results.csv", "stability.svg", "jobs", "query_outputs",
    }  # fmt: skip
    assert page(read_results(folder)) == page(rows_from_runs(*runs))
    with pytest.raises((OSError, ValueError), match=re.escape(str(folder.parent))):
        write_stability(folder, [folder.parent])


def paths(runs: list[Run]) -> list[Path]:
    return [run.path for run in runs]


def read_files(folder: Path) -> list[str]:
    return [(folder / name).read_text() for name in ("README.md", "results.csv", "stability.svg")]


def test_the_saved_files_reproduce_the_page_without_the_runs(runs: list[Run], folder: Path) -> None:
    write_stability(folder, paths(runs))
    before = read_files(folder)
    for run in runs:
        shutil.rmtree(run.path)
    (folder / "results.csv").unlink()
    write_stability(folder, [])
    assert read_files(folder) == before


def test_later_runs_are_added_to_saved_runs(runs: list[Run], folder: Path, tmp_path: Path) -> None:
    write_stability(folder, paths(runs))
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    for path in (*other.glob("*/*"), other / "results.csv"):
        path.unlink()
    write_stability(other, paths(runs[:2]))
    (runs[0].path / "metrics.json").unlink()  # as in a run whose scores were read from jobs/
    write_stability(other, paths(runs))
    assert read_files(other) == read_files(folder)


def test_rejected_runs_are_not_saved(runs: list[Run], folder: Path, make_run: MakeRun) -> None:
    write_stability(folder, paths(runs))
    before = read_files(folder), sorted(folder.glob("*/*"))
    with pytest.raises(ValueError, match="same backbone, seed and split"):
        write_stability(folder, [make_repeat(make_run, "e", seed=2).path])
    assert (read_files(folder), sorted(folder.glob("*/*"))) == before


def test_jobs_without_outputs_are_logged(runs: list[Run], folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_stability(folder, paths(runs))
    (folder / "query_outputs/c.npz").unlink()
    write_stability(folder, [])
    assert "without query outputs: c;" in caplog.text
    (runs[2].path / "metrics.json").unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(str(runs[2].path))):
        write_stability(folder, [runs[2].path])


def test_outputs_and_job_of_different_trainings_are_rejected(runs: list[Run], folder: Path) -> None:
    write_stability(folder, paths(runs))
    job = folder / "jobs/a.json"
    content = json.loads(job.read_text())
    content["metrics"]["query/category/map@100"] += 0.01
    job.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"a\.npz and jobs/a\.json"):
        write_stability(folder, [])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("query_outputs/a.npz", b"PK", "a.npz"),
        ("query_outputs/a.npz", b"", "a.npz"),
        ("jobs/a.json", b"{", "a.json"),
        ("jobs/a.json", None, "a.json: missing"),
    ],
)
def test_damaged_or_missing_saved_files_are_rejected(
    name: str, content: bytes | None, message: str, runs: list[Run], folder: Path
) -> None:
    write_stability(folder, paths(runs))
    before = read_files(folder)
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises((OSError, ValueError), match=re.escape(message)):
        write_stability(folder, [])
    assert read_files(folder) == before
