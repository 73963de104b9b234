"""Stability page of runs that differ in seed and split."""

import re
import shutil
from pathlib import Path

import pytest

from fashion_lsh.cli.report import main
from fashion_lsh.report.page_file import BEGIN, END, Row
from fashion_lsh.runs.job_file import copy_job
from fashion_lsh.runs.run import Run
from fashion_lsh.studies.stability import by_variation, page, write_study
from tests.studies.factories import MakeRun, make_repeat, read_results, rows_from_runs


def test_runs_that_do_not_repeat_a_configuration_are_rejected(make_run: MakeRun) -> None:
    rows = rows_from_runs(make_repeat(make_run, "a"), make_repeat(make_run, "b", seed=1, split=1))
    with pytest.raises(ValueError, match="no two jobs"):
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


def save_jobs(runs: list[Run], folder: Path) -> None:
    for run in runs:
        copy_job(run, folder / "jobs" / f"{run.path.name}.parquet")


def read_files(folder: Path) -> list[str]:
    return [(folder / name).read_text() for name in ("README.md", "results.csv", "stability.svg")]


def test_the_page_is_written_from_job_files(runs: list[Run], folder: Path) -> None:
    save_jobs(runs, folder)
    expected = page(rows_from_runs(*runs))
    for run in runs:
        shutil.rmtree(run.path)
    assert write_study(folder) == folder / "README.md"
    assert {path.name for path in folder.iterdir()} == {"README.md", "results.csv", "stability.svg", "jobs"}
    assert page(read_results(folder)) == expected


def test_report_writes_the_page_of_a_study(runs: list[Run], folder: Path) -> None:
    save_jobs(runs, folder)
    (folder / "page.yaml").write_text("study: stability\n")
    assert main([str(folder)]) == 0
    assert "### Agreement between seeds" in (folder / "README.md").read_text()


def test_a_repeated_run_leaves_the_page_unchanged(runs: list[Run], folder: Path, make_run: MakeRun) -> None:
    save_jobs(runs, folder)
    write_study(folder)
    before = read_files(folder)
    save_jobs([make_repeat(make_run, "e", seed=2)], folder)
    with pytest.raises(ValueError, match="jobs c and e have the same backbone, seed and split"):
        write_study(folder)
    assert read_files(folder) == before


def test_jobs_without_query_table_are_logged(runs: list[Run], folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_jobs(runs, folder)
    (folder / "jobs/c.queries.parquet").unlink()
    write_study(folder)
    assert "without a query table: c;" in caplog.text


def test_a_folder_without_jobs_is_an_error(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=re.escape(str(folder))):
        write_study(folder)


@pytest.mark.parametrize("name", ["jobs/a.parquet", "jobs/a.queries.parquet"])
@pytest.mark.parametrize("content", [b"PAR1", b""])
def test_damaged_job_files_are_rejected(name: str, content: bytes, runs: list[Run], folder: Path) -> None:
    save_jobs(runs, folder)
    write_study(folder)
    before = read_files(folder)
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(name)):
        write_study(folder)
    assert read_files(folder) == before
