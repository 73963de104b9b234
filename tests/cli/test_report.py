"""The report command for valid and damaged runs."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fashion_lsh.cli.report import main
from fashion_lsh.metrics.results import CLASSIFIER, Result, ResultTable
from fashion_lsh.runs.result_file import RESULTS_FILE, write_results_file
from fashion_lsh.runs.run import Run
from tests.report.factories import change_results
from tests.studies.factories import change_settings


def test_report_writes_a_page_per_run_and_compares_two_runs(
    make_run: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [make_run(key="first").path, make_run(key="second").path]
    assert main([str(path) for path in runs]) == 0
    pages = [path / "report" / "index.html" for path in runs]
    comparison = runs[0] / "report" / "compare-made-second" / "index.html"
    assert capsys.readouterr().out.splitlines() == [*map(str, pages), str(comparison)]
    assert all(page.is_file() for page in [*pages, comparison])


def test_runs_that_cannot_be_compared_have_their_reports(
    make_run: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [make_run(key="first").path, make_run(["bag", "hat"], key="second").path]
    assert main([str(path) for path in runs]) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [str(path / "report" / "index.html") for path in runs]
    [error] = printed.err.splitlines()
    assert f"{runs[0]} and {runs[1]}" in error
    assert "galleries" in error


def test_a_run_without_a_report_is_not_compared(
    make_run: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [make_run(key="first").path, make_run(key="second").path]
    (runs[1] / "queries.parquet").write_bytes(b"PK")
    assert main([str(path) for path in runs]) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [str(runs[0] / "report" / "index.html")]
    assert len(printed.err.splitlines()) == 1


def test_report_continues_after_damaged_runs(
    make_run: Callable[..., Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged, good = make_run(key="damaged").path, make_run(key="good").path
    (damaged / "results.parquet").write_text("{")
    (tmp_path / "none").mkdir()
    assert main([str(tmp_path / "none"), str(damaged), str(good)]) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [str(good / "report" / "index.html")]
    missing_error, damaged_error = printed.err.splitlines()
    assert f"{tmp_path / 'none'}: not a run folder" in missing_error
    assert f"{damaged / 'results.parquet'} is damaged" in damaged_error


@pytest.mark.parametrize(
    ("other", "named"), [("first", "repeated"), ("link", "repeated"), ("missing", "missing: no such")]
)
def test_missing_and_repeated_folders_are_one_error_before_any_page(
    other: str, named: str, make_run: Callable[..., Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(key="first").path
    run.with_name("link").symlink_to(run)
    assert main([str(run), str(run.with_name(other))]) == 1
    printed = capsys.readouterr()
    assert (printed.out, len(printed.err.splitlines()), named in printed.err) == ("", 1, True)
    assert not (run / "report").exists()


def test_report_without_arguments_shows_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as system_exit:
        main([])
    assert system_exit.value.code == 2
    assert "FOLDER" in capsys.readouterr().err


def test_report_of_a_folder_compares_its_runs(
    make_run: Callable[..., Run], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    first, second, other = (make_run(key=key) for key in ("first", "second", "other"))
    for seed, run in enumerate((first, second)):
        set_accuracy(run, 0.5 + seed / 10)
        change_settings(run, seed=seed)
    (other.path / "metrics.json").unlink()
    folder = first.path.parent
    assert main([str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder / 'index.html'}\n"
    assert f"Skipped unfinished runs: {other.path}" in caplog.text
    text = (folder / "README.md").read_text()
    assert text.startswith(f"# {folder.name}\n")
    assert "0.550 ± 0.071" in text
    page = (folder / "index.html").read_text()
    assert f"<h1>{folder.name}</h1>" in page
    assert "<table>" in page
    assert "<!--" not in page


def test_page_of_a_folder_shows_changed_results(make_run: Callable[..., Run]) -> None:
    run = make_run(key="one")
    assert main([str(run.path.parent)]) == 0
    set_accuracy(run, 0.125)
    assert main([str(run.path.parent)]) == 0
    assert "0.125" in (run.path.parent / "README.md").read_text()


def set_accuracy(run: Run, value: float) -> None:
    accuracy = Result("accuracy", value, method=CLASSIFIER)
    change_results(run, lambda rows: ResultTable(rows, run.result_file.results.search).replace([accuracy]))


@pytest.mark.parametrize(("content", "reason"), [
    (None, "{}: no run is finished"),
    ('{"classifier/accuracy": 0.5', "metrics.json is damaged"),
    ('{"classifier/accuracy": "high"}', "classifier/accuracy='high'"),
    ("[1, 2]", "metrics.json is damaged (expected a mapping of scores, found a list)"),
])  # fmt: skip
def test_unfinished_and_damaged_runs_are_reported(
    make_run: Callable[..., Run], content: str | None, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(key="one")
    (run.path / "metrics.json").unlink()
    if content:
        (run.path / "metrics.json").write_text(content)
    assert main([str(run.path.parent)]) == 1
    assert reason.format(run.path.parent) in capsys.readouterr().err
    assert not (run.path.parent / "README.md").exists()


def test_report_of_200_runs_takes_10_seconds_without_torch(make_run: Callable[..., Run]) -> None:
    run = make_run(key="run0")
    for number in range(1, 200):
        copy = run.path.parent / f"run{number}"
        shutil.copytree(run.path, copy)
        change_settings(Run(copy), seed=number)
    start_time = time.perf_counter()
    code = "import sys; from fashion_lsh.cli.report import main; main(sys.argv[1:]); print(*sys.modules)"
    words = [sys.executable, "-c", code, run.path.parent]
    printed = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
    assert time.perf_counter() - start_time < 10
    assert "199" in (run.path.parent / "README.md").read_text()
    assert "torch" not in printed


def test_base_requires_jobs(make_run: Callable[..., Run], capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(key="one")
    assert main([str(run.path), "--base", "hash=none"]) == 1
    assert f"{run.path} has no jobs to compare; omit --base" in capsys.readouterr().err


def test_columns_are_titles_or_flat_names(make_run: Callable[..., Run], capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_run(key="one").path.parent
    assert main([str(folder), "--columns", "item recall@10", "random/category/map@100"]) == 0
    text = (folder / "README.md").read_text()
    assert "item recall@10" in text
    assert "random/category/map@100" in text
    assert main([str(folder), "--columns", "no/such"]) == 1
    assert "metric 'no/such' is unknown" in capsys.readouterr().err


def test_page_without_jobs_is_rendered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "README.md").write_text("# Speed\n")
    assert main([str(tmp_path)]) == 0
    assert "<h1>Speed</h1>" in (tmp_path / "index.html").read_text()
    assert capsys.readouterr().out == f"{tmp_path / 'index.html'}\n"


def test_skipped_runs_are_logged(make_run: Callable[..., Run], caplog: pytest.LogCaptureFixture) -> None:
    first, second, third = (make_run(key=key) for key in ("first", "second", "third"))
    (first.path / "config.yaml").unlink()
    (first.path / "hash_head.ckpt").touch()
    change_settings(third, seed=1)
    write_results_file(third.path / RESULTS_FILE, third.result_file._replace(data="00000000"))
    assert main([str(second.path.parent)]) == 0
    assert f"Skipped {first.path}: no config.yaml" in caplog.text
    assert "second, third" in caplog.text


def test_damaged_query_table_is_named(make_run: Callable[..., Run], capsys: pytest.CaptureFixture[str]) -> None:
    one, other = make_run(key="one"), make_run(key="other")
    change_settings(other, hash={"bits": 8})
    (one.path / "queries.parquet").write_bytes(b"PK")
    assert main([str(one.path.parent), "--base", "hash.bits=8"]) == 1
    assert f"{one.path / 'queries.parquet'} is damaged" in capsys.readouterr().err
