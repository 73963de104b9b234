"""The page of runs that differ in seed and split."""

import json
import re
import shutil
from pathlib import Path

import pytest

from fashion_lsh.report.page_file import BEGIN, END, Row
from fashion_lsh.runs.run import Run
from fashion_lsh.studies.stability import by_variation, page, write_stability
from tests.studies.factories import MakeRun, read_results, repeated, rows_of


def test_runs_that_repeat_nothing_are_refused(make_run: MakeRun) -> None:
    rows = rows_of(repeated(make_run, "a"), repeated(make_run, "b", seed=1, split=1))
    with pytest.raises(ValueError, match="no two of these runs differ in their seed, or in their split, alone"):
        page(rows)


def test_a_run_without_codes_has_no_bits_to_compare(make_run: MakeRun) -> None:
    rows = rows_of(repeated(make_run, "a", bits=None), repeated(make_run, "b", seed=1, bits=None))
    assert "bits changed" not in rows[-1]
    assert "hits alike" in rows[-1]
    assert "bits changed |" not in page(rows)[0]


def made(backbone: str, seed: int, split: int, **scores: float) -> Row:
    plain = {"of": "run", "backbone": backbone, "split": split, "seed": seed, "job": f"{backbone}{seed}{split}"}
    return plain | {"top-1": 0.7} | scores


def test_arms_vary_one_thing() -> None:
    runs = [made("resnet101", 0, 0), *(made("resnet18", seed, 0) for seed in range(3)), made("resnet18", 0, 1)]
    arms = {name: [row["job"] for row in arm] for name, arm in by_variation(runs).items()}
    assert arms == {
        "resnet101, 1 seed, split 0": ["resnet10100"],
        "resnet18, 3 seeds, split 0": ["resnet1800", "resnet1810", "resnet1820"],
        "resnet18, 2 splits, seed 0": ["resnet1800", "resnet1801"],
    }


def test_the_page_tells_spread_worst_category_and_spoilt_pictures(runs: list[Run]) -> None:
    text, figures = page(rows_of(*runs))
    assert "0.710 ± 0.010 (0.700 to 0.720)" in text  # of three seeds
    assert "0.725 ± 0.035 (0.700 to 0.750)" in text  # of two splits
    assert "0.490 ± 0.010" in text
    assert "bits learnt apart have no meaning in common" in text
    assert "Worst of all: by top-1 " in text
    assert " in 3 of 3" in text
    assert list(figures) == ["stability.svg"]
    assert b"occlusion" in figures["stability.svg"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of an experiment that has not run."""
    path = tmp_path / "page"
    path.mkdir()
    (path / "README.md").write_text(f"# Stability\n\n{BEGIN}\n{END}\n")
    return path


def test_it_writes_the_page(runs: list[Run], folder: Path) -> None:
    assert write_stability(folder, paths(runs)) == folder / "README.md"
    assert {path.name for path in folder.iterdir()} == {
        "README.md", "results.csv", "stability.svg", "jobs", "answers",
    }  # fmt: skip
    assert page(read_results(folder)) == page(rows_of(*runs))
    with pytest.raises((OSError, ValueError), match=re.escape(str(folder.parent))):
        write_stability(folder, [folder.parent])


def paths(runs: list[Run]) -> list[Path]:
    return [run.path for run in runs]


def written_by(folder: Path) -> list[str]:
    return [(folder / name).read_text() for name in ("README.md", "results.csv", "stability.svg")]


def test_what_it_keeps_makes_the_same_page_when_the_runs_are_gone(runs: list[Run], folder: Path) -> None:
    write_stability(folder, paths(runs))
    before = written_by(folder)
    for run in runs:
        shutil.rmtree(run.path)
    (folder / "results.csv").unlink()
    write_stability(folder, [])
    assert written_by(folder) == before


def test_runs_given_later_join_those_that_are_kept(runs: list[Run], folder: Path, tmp_path: Path) -> None:
    write_stability(folder, paths(runs))
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    for path in (*other.glob("*/*"), other / "results.csv"):
        path.unlink()
    write_stability(other, paths(runs[:2]))
    (runs[0].path / "metrics.json").unlink()  # as where its scores were read from jobs/
    write_stability(other, paths(runs))
    assert written_by(other) == written_by(folder)


def test_what_is_refused_is_not_kept(runs: list[Run], folder: Path, make_run: MakeRun) -> None:
    write_stability(folder, paths(runs))
    before = written_by(folder), sorted(folder.glob("*/*"))
    with pytest.raises(ValueError, match="of the same backbone, seed and split"):
        write_stability(folder, [repeated(make_run, "e", seed=2).path])
    assert (written_by(folder), sorted(folder.glob("*/*"))) == before


def test_jobs_without_answers_are_named(runs: list[Run], folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_stability(folder, paths(runs))
    (folder / "answers/c.npz").unlink()
    write_stability(folder, [])
    assert "no answers are kept of them: c; make them again with overwrite=true" in caplog.text
    (runs[2].path / "metrics.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"type its train\.py command again, with overwrite=true"):
        write_stability(folder, [runs[2].path])


def test_answers_of_another_fit_than_the_jobs_are_refused(runs: list[Run], folder: Path) -> None:
    write_stability(folder, paths(runs))
    job = folder / "jobs/a.json"
    content = json.loads(job.read_text())
    content["metrics"]["query/category/map@100"] += 0.01
    job.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"a\.npz and jobs/a\.json are of different fits"):
        write_stability(folder, [])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("answers/a.npz", b"PK", "a.npz is damaged"),
        ("answers/a.npz", b"", "a.npz is damaged"),
        ("jobs/a.json", b"{", "a.json is damaged"),
        ("jobs/a.json", None, "a.json is missing: remove"),
    ],
)
def test_kept_files_that_are_damaged_or_gone_are_named(
    name: str, content: bytes | None, message: str, runs: list[Run], folder: Path
) -> None:
    write_stability(folder, paths(runs))
    before = written_by(folder)
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises((OSError, ValueError), match=re.escape(message)):
        write_stability(folder, [])
    assert written_by(folder) == before
