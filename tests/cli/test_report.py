"""The report command for valid and damaged runs."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from fashion_lsh.cli.report import main
from fashion_lsh.runs.job_file import job_json
from fashion_lsh.runs.run import Run


def test_report_writes_a_page_per_run(make_run: Callable[..., Run], capsys: pytest.CaptureFixture[str]) -> None:
    runs = [make_run(key="first").path, make_run(key="second").path]
    assert main([str(path) for path in runs]) == 0
    pages = [path / "report" / "index.html" for path in runs]
    assert capsys.readouterr().out.splitlines() == [str(page) for page in pages]
    assert all(page.is_file() for page in pages)


def test_report_continues_after_damaged_runs(
    make_run: Callable[..., Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged, good = make_run(key="damaged").path, make_run(key="good").path
    (damaged / "metrics.json").write_text("{")
    assert main([str(tmp_path / "none"), str(damaged), str(good)]) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [str(good / "report" / "index.html")]
    missing_error, damaged_error = printed.err.splitlines()
    assert f"{tmp_path / 'none'}: not a run folder" in missing_error
    assert f"{damaged / 'metrics.json'} is damaged" in damaged_error


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
        run.write_json("metrics.json", run.metrics | {"query/accuracy": 0.5 + seed / 10})
        (run.path / "config.yaml").write_text(yaml.safe_dump(run.config | {"seed": seed}))
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


def test_newer_metrics_replace_the_job_file(make_run: Callable[..., Run]) -> None:
    run = make_run(key="one")
    assert main([str(run.path.parent)]) == 0
    run.write_json("metrics.json", run.metrics | {"query/accuracy": 0.125})
    assert main([str(run.path.parent)]) == 0
    assert "0.125" in (run.path.parent / "README.md").read_text()
    assert json.loads((run.path / "job.json").read_text())["metrics"]["query/accuracy"] == 0.125


@pytest.mark.parametrize(("content", "reason"), [
    (None, "{}: no run is finished"),
    ('{"query/accuracy": 0.5', "metrics.json is damaged"),
    ('{"query/accuracy": "high"}', "query/accuracy='high'"),
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
    job_json(run)
    for number in range(1, 200):
        copy = run.path.parent / f"run{number}"
        shutil.copytree(run.path, copy)
        job = json.loads((copy / "job.json").read_text())
        job["settings"]["seed"] = number
        (copy / "job.json").write_text(json.dumps(job))
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
    assert f"--base hash=none: {run.path}" in capsys.readouterr().err


def test_page_of_another_command_is_not_overwritten(
    make_run: Callable[..., Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "stability"
    (folder / "jobs").mkdir(parents=True)
    text = "# Stability\n```\nfashion-lsh report experiments/stability --repeats runs/stability/*\n```\n"
    (folder / "README.md").write_text(text)
    (folder / "jobs" / "one.json").write_text(job_json(make_run(key="one")))
    assert main([str(folder)]) == 1
    assert (
        "README.md is written by another command; run 'fashion-lsh report experiments/stability --repeats"
        in capsys.readouterr().err
    )
    assert (folder / "README.md").read_text() == text


def test_page_without_jobs_is_rendered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "README.md").write_text("# Speed\n")
    assert main([str(tmp_path)]) == 0
    assert "<h1>Speed</h1>" in (tmp_path / "index.html").read_text()
    assert capsys.readouterr().out == f"{tmp_path / 'index.html'}\n"


def test_skipped_runs_are_logged(make_run: Callable[..., Run], caplog: pytest.LogCaptureFixture) -> None:
    first, second, third = (make_run(key=key) for key in ("first", "second", "third"))
    (first.path / "config.yaml").unlink()
    (first.path / "hash_head.ckpt").touch()
    (third.path / "config.yaml").write_text(yaml.safe_dump(third.config | {"seed": 1}))
    job_json(third)
    job = json.loads((third.path / "job.json").read_text())
    (third.path / "job.json").write_text(json.dumps(job | {"data": "00000000"}))
    assert main([str(second.path.parent)]) == 0
    assert f"Skipped {first.path}: no config.yaml" in caplog.text
    assert "second, third" in caplog.text


def test_damaged_query_scores_raise_with_their_file(
    make_run: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(key="one")
    (run.path / "job.json").unlink(missing_ok=True)
    (run.path / "query_scores.npz").write_bytes(b"PK")
    assert main([str(run.path.parent)]) == 1
    assert f"{run.path / 'query_scores.npz'} is damaged" in capsys.readouterr().err


def test_page_is_written_for_a_read_only_run(make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(key="one")
    (run.path / "job.json").unlink(missing_ok=True)
    monkeypatch.setattr("os.access", lambda path, _mode: Path(path) != run.path)
    assert main([str(run.path.parent)]) == 0
    assert not (run.path / "job.json").exists()
    assert (run.path.parent / "results.csv").is_file()
