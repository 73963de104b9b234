"""Runs of other seeds and splits, and the page that is made of them."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from fashion_lsh.evaluation.robustness import CORRUPTIONS
from fashion_lsh.index.codes import pack
from fashion_lsh.report.page_file import BEGIN, END, Row
from fashion_lsh.report.run_data import read
from fashion_lsh.runs.run import Run
from fashion_lsh.studies.query_outputs import answers_of, of_run, read_answers, write_answers
from fashion_lsh.studies.repeats import bits_changed, hits_alike, repeats
from fashion_lsh.studies.stability import by_variation, main, page

MakeRun = Callable[..., Run]


def repeated(make_run: MakeRun, key: str, seed: int = 0, split: int = 0, **changes: Any) -> Run:
    """A made run of this seed and split, scored on spoilt queries."""
    run = make_run(key=key, split_seed=split, **changes)
    config = run.config | {"seed": seed}
    (run.path / "config.yaml").write_text(yaml.safe_dump(config))
    metrics = run.metrics | {"query/accuracy": 0.7 + seed / 100 + split / 20, "rows/code/category/map@100": 0.6}
    metrics |= {f"corrupted/{name}/accuracy": 0.5 - seed / 100 for name in CORRUPTIONS}
    run.write_json("metrics.json", metrics)
    return run


def rows_of(*runs: Run) -> list[Row]:
    return repeats([of_run(run) for run in runs])


@pytest.fixture
def runs(make_run: MakeRun) -> list[Run]:
    return [repeated(make_run, "a"), repeated(make_run, "b", seed=1), repeated(make_run, "c", seed=2),
            repeated(make_run, "d", split=1)]  # fmt: skip


def test_a_run_whose_gallery_has_grown_is_refused(make_run: MakeRun) -> None:
    run = make_run()
    path = run.path / "queries.parquet"
    rows = pq.read_table(path).to_pylist()
    rows[0]["hits"][0] = "new one"
    pq.write_table(pa.Table.from_pylist(rows), path)
    with pytest.raises(ValueError, match=r"found 'new one', which was filed later: give a run whose gallery"):
        of_run(run)


def test_two_codes_of_one_picture_are_compared_bit_by_bit() -> None:
    rng = np.random.default_rng(0)
    one, other = (rng.random((50, 12)) for _ in range(2))
    one_bits, other_bits = one > 0.5, other > 0.5
    found = bits_changed(pack(one), pack(other), 12)
    assert found["bits changed"] == pytest.approx((one_bits != other_bits).mean())
    assert found["by chance"] == pytest.approx((one_bits[:, None] != other_bits).mean())  # every picture with every
    assert bits_changed(pack(one), pack(one), 12)["bits changed"] == 0
    assert bits_changed(pack(one), pack(1 - one), 12)["bits changed"] == 1


def test_hits_that_both_found_count_whatever_their_order() -> None:
    first, other, fewer = np.array([[7, 8], [3, 4]]), np.array([[8, 7], [3, 5]]), np.array([[7, -1], [-1, -1]])
    assert hits_alike(first, other) == pytest.approx((1 + 0.5) / 2)
    assert hits_alike(np.array([[7, 8], [-1, -1]]), fewer) == pytest.approx(0.5)  # nothing found counts for nothing
    assert hits_alike(fewer[1:], fewer[1:]) == 0


def test_answers_are_those_of_the_runs_files_and_come_back(make_run: MakeRun, tmp_path: Path) -> None:
    found = read(make_run())
    answers = answers_of(found)
    write_answers(tmp_path / "kept.npz", answers)
    back, ids = read_answers(tmp_path / "kept.npz"), found.garments.column("id")
    assert all(np.array_equal(one, other) for one, other in zip(answers, back, strict=True))
    for row, asked in enumerate(found.queries.to_pylist()):
        assert ids[back.queries[row]] == asked["id"]
        assert back.categories[back.true[row]] == asked["category"]
        assert back.categories[back.predicted[row]] == asked["predicted"]
        assert [ids[hit] for hit in back.hits[row] if hit >= 0] == asked["hits"]
        assert back.ap[row] == pytest.approx(asked["category/map@100"])


def test_a_query_that_was_not_seen_has_no_prediction_and_finds_nothing(make_run: MakeRun) -> None:
    run = make_run()
    path = run.path / "queries.parquet"
    rows = pq.read_table(path).to_pylist()
    rows[1] |= {"predicted": "", "hits": []}
    pq.write_table(pa.Table.from_pylist(rows), path)
    answers = answers_of(read(run))
    assert answers.predicted[1] == -1
    assert (answers.hits[1] == -1).all()
    assert (answers.hits[0] >= 0).all()


def test_runs_that_repeat_nothing_are_refused(make_run: MakeRun) -> None:
    rows = rows_of(repeated(make_run, "a"), repeated(make_run, "b", seed=1, split=1))
    with pytest.raises(ValueError, match="no two of these runs differ in their seed, or in their split, alone"):
        page(rows)


def test_rows_tell_of_runs_categories_and_pairs_of_seeds(runs: list[Run]) -> None:
    rows = rows_of(*runs)
    about = {kind: [row for row in rows if row["of"] == kind] for kind in ("run", "category", "pair")}
    assert [(row["split"], row["seed"]) for row in about["run"]] == [(0, 0), (0, 1), (0, 2), (1, 0)]
    assert len(about["category"]) == 4 * 3
    assert [row["seeds"] for row in about["pair"]] == ["0 and 1", "0 and 2", "1 and 2"]  # none of another split
    assert about["run"][1]["blur top-1"] == pytest.approx(0.49)
    answers = pq.read_table(runs[0].path / "queries.parquet").to_pylist()
    for row in about["category"][:3]:
        own = [answer for answer in answers if answer["category"] == row["category"]]
        assert row["queries"] == len(own)
        assert row["top-1"] == pytest.approx(np.mean([each["predicted"] == each["category"] for each in own]))
        assert row["category mAP@100"] == pytest.approx(np.mean([each["category/map@100"] for each in own]))
    first = about["pair"][0]
    assert (first["bits changed"], first["named alike"], first["hits alike"]) == (0, 1, 1)  # made of the same draws


def test_runs_that_cannot_be_told_apart_are_refused(runs: list[Run], make_run: MakeRun) -> None:
    with pytest.raises(ValueError, match="are of the same backbone, seed and split: give one of them"):
        rows_of(*runs, repeated(make_run, "e", seed=2))


def test_other_queries_of_one_split_are_refused(runs: list[Run], make_run: MakeRun) -> None:
    other = repeated(make_run, "e", seed=3)
    path = other.path / "queries.parquet"
    table = pq.read_table(path)
    pq.write_table(table.take(pa.array(range(len(table) - 1, -1, -1))), path)
    with pytest.raises(ValueError, match="are of different queries: make one of them again"):
        rows_of(*runs, other)


def test_runs_of_other_settings_are_not_taken_for_repeats(runs: list[Run], make_run: MakeRun) -> None:
    other = repeated(make_run, "e", seed=3)
    config = other.config
    config["data"]["jitter"] = 0.5
    (other.path / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(ValueError, match=r"differ in data\.jitter \(.* and 0\.5\)"):
        rows_of(*runs, other)


def test_it_is_a_command() -> None:
    done = subprocess.run([sys.executable, "-m", "fashion_lsh.studies.stability"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "usage" in done.stderr


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


def test_the_command_writes_the_page(runs: list[Run], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder), *(str(run.path) for run in runs)]) == 0
    assert {path.name for path in folder.iterdir()} == {
        "README.md", "results.csv", "stability.svg", "jobs", "answers",
    }  # fmt: skip
    assert main([str(folder), str(folder.parent)]) == 1
    assert "is no run" in capsys.readouterr().err


def written_by(folder: Path) -> list[str]:
    return [(folder / name).read_text() for name in ("README.md", "results.csv", "stability.svg")]


def test_what_it_keeps_makes_the_same_page_when_the_runs_are_gone(runs: list[Run], folder: Path) -> None:
    assert main([str(folder), *(str(run.path) for run in runs)]) == 0
    before = written_by(folder)
    for run in runs:
        shutil.rmtree(run.path)
    (folder / "results.csv").unlink()
    assert main([str(folder)]) == 0
    assert written_by(folder) == before


def test_runs_given_later_join_those_that_are_kept(runs: list[Run], folder: Path, tmp_path: Path) -> None:
    assert main([str(folder), *(str(run.path) for run in runs)]) == 0
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    for path in (*other.glob("*/*"), other / "results.csv"):
        path.unlink()
    assert main([str(other), str(runs[0].path), str(runs[1].path)]) == 0
    (runs[0].path / "metrics.json").unlink()  # as where its scores were read from jobs/
    assert main([str(other), *(str(run.path) for run in runs)]) == 0
    assert written_by(other) == written_by(folder)


def test_what_is_refused_is_not_kept(runs: list[Run], folder: Path, make_run: MakeRun) -> None:
    assert main([str(folder), *(str(run.path) for run in runs)]) == 0
    before = written_by(folder), sorted(folder.glob("*/*"))
    assert main([str(folder), str(repeated(make_run, "e", seed=2).path)]) == 1
    assert (written_by(folder), sorted(folder.glob("*/*"))) == before


def test_codes_of_a_method_that_names_no_bits_are_compared_by_their_bytes(make_run: MakeRun) -> None:
    pair = [repeated(make_run, "a"), repeated(make_run, "b", seed=1)]
    for run in pair:
        config = run.config
        del config["hash"]["bits"]  # as with hash=predicted_category
        (run.path / "config.yaml").write_text(yaml.safe_dump(config))
    assert rows_of(*pair)[-1]["bits changed"] == 0


def test_two_starts_of_one_backbone_are_not_taken_for_repeats(runs: list[Run], make_run: MakeRun) -> None:
    other = repeated(make_run, "e", seed=3)
    config = other.config
    config["backbone"]["weights"] = "imagenet"
    (other.path / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(ValueError, match=r"differ in backbone\.weights \(.*imagenet.*\)"):
        rows_of(*runs, other)


def test_queries_in_which_neither_saw_anything_are_not_named_alike(make_run: MakeRun) -> None:
    pair = [repeated(make_run, "a"), repeated(make_run, "b", seed=1)]
    for run in pair:
        path = run.path / "queries.parquet"
        rows = pq.read_table(path).to_pylist()
        rows[0] |= {"predicted": "", "hits": []}
        pq.write_table(pa.Table.from_pylist(rows), path)
    assert rows_of(*pair)[-1]["named alike"] == pytest.approx(1 - 1 / len(rows))


def test_jobs_without_answers_are_named(
    runs: list[Run], folder: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(folder), *(str(run.path) for run in runs)]) == 0
    (folder / "answers/c.npz").unlink()
    assert main([str(folder)]) == 0
    assert "no answers are kept of them: c; make them again with fresh=true" in caplog.text
    (runs[2].path / "metrics.json").unlink()
    assert main([str(folder), str(runs[2].path)]) == 1
    assert "type its train.py command again, with fresh=true" in capsys.readouterr().err


def test_answers_of_another_fit_than_the_jobs_are_refused(
    runs: list[Run], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(folder), *(str(run.path) for run in runs)]) == 0
    job = folder / "jobs/a.json"
    content = json.loads(job.read_text())
    content["metrics"]["query/category/map@100"] += 0.01
    job.write_text(json.dumps(content))
    assert main([str(folder)]) == 1
    assert "a.npz and jobs/a.json are of different fits" in capsys.readouterr().err


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
    name: str, content: bytes | None, message: str, runs: list[Run], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(folder), *(str(run.path) for run in runs)]) == 0
    before = written_by(folder)
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    assert main([str(folder)]) == 1
    assert message in capsys.readouterr().err
    assert written_by(folder) == before
