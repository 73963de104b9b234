"""Page of a sweep, written from job files."""

import csv
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fashion_lsh.metrics.results import WHOLE_GALLERY, Result
from fashion_lsh.report.page_file import BEGIN, END
from fashion_lsh.report.sweep.page import BEST_TITLE, BOLD_NOTE, write_sweep_page
from fashion_lsh.runs.sweep_record import update_record
from tests.report.factories import MakeRun
from tests.report.sweep.factories import (
    HASH_HEAD,
    OWN,
    README,
    change_job,
    first_table,
    random_outcomes,
    tables,
    write_job,
    write_page_settings,
    write_scored_job,
)

DISTINCT = Result("distinct", 164.0, method="code", split="gallery")
RECALL = Result("recall", 0.4, k=10, relevance="item", **OWN)
LSH_RECALL = Result("recall", 0.3, k=10, relevance="item", method="lsh", scope=WHOLE_GALLERY)


def test_results_are_not_rounded_and_hand_written_text_is_unchanged(folder: Path) -> None:
    write_sweep_page(folder)
    with (folder / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["category mAP@100"]) == 0.1234567
    assert float(rows[0]["category mAP@100 low"]) == pytest.approx(0.1134567)
    text = (folder / "README.md").read_text()
    assert text.startswith("# Backbones\n\nThe question.\n\n")
    assert text.endswith(f"{END}\n\nWhat it shows.\n")
    assert "Old results." not in text
    write_sweep_page(folder)
    assert (folder / "README.md").read_text() == text


@pytest.mark.parametrize(("damage", "reason"), [
    (lambda folder: [path.unlink() for path in (folder / "jobs").iterdir()], "jobs/*.parquet"),
    (lambda folder: (folder / "jobs" / "aaaa0000.parquet").write_text("PAR1"), "aaaa0000.parquet"),
    (lambda folder: pq.write_table(pa.table({"value": [0.5]}), folder / "jobs" / "aaaa0000.parquet"),
     "aaaa0000.parquet"),
    (lambda folder: write_page_settings(folder, colums=["top-1"]), "page.yaml: colums"),
    (lambda folder: write_page_settings(folder, columns=["beauty"]), "'beauty'"),
    (lambda folder: (folder / "README.md").write_text("no markers"), "README.md"),
    (lambda folder: (folder / "README.md").write_text(f"{END}{BEGIN}"), "README.md"),
])  # fmt: skip
def test_an_invalid_sweep_raises_and_nothing_is_written(folder: Path, damage: Any, reason: str) -> None:
    damage(folder)
    with pytest.raises((OSError, ValueError), match=re.escape(reason)):
        write_sweep_page(folder)
    assert not list(folder.glob("results.*"))


def test_the_same_jobs_write_the_same_files(methods: Path, tmp_path_factory: Any) -> None:
    copy = tmp_path_factory.mktemp("copy")
    shutil.copytree(methods, copy, dirs_exist_ok=True)
    write_sweep_page(methods)
    write_sweep_page(copy)
    files = {path.name for path in methods.glob("*.*")}
    assert {"README.md", "results.csv", "results.parquet", "results.svg"} <= files
    assert all((copy / name).read_bytes() == (methods / name).read_bytes() for name in files)


def test_the_page_settings_select_the_metrics(folder: Path) -> None:
    write_job(folder, "cccc0000", "resnet18", 0.5, DISTINCT, RECALL, LSH_RECALL)
    write_sweep_page(folder)
    assert "distinct codes" not in first_table(folder)[0]  # shown only if the page lists it
    write_page_settings(folder, columns=["category mAP@100", "distinct codes", "lsh/item/recall@10"])
    write_sweep_page(folder)
    header, _, *rows = first_table(folder)
    assert header == ["backbone.name", "category mAP@100", "distinct codes", "lsh/item/recall@10", "job"]
    cells = dict(zip(header, rows[1], strict=True))
    assert (cells["distinct codes"], cells["lsh/item/recall@10"]) == ("164", "0.300")
    with (folder / "results.csv").open(newline="") as file:
        assert {"item recall@10", "lsh/item/recall@10"} <= set(next(csv.reader(file)))
    write_sweep_page(folder, columns=["top-1"])
    assert first_table(folder)[0] == ["backbone.name", "top-1", "job"]  # the argument takes precedence


def test_an_unknown_metric_is_rejected(folder: Path) -> None:
    write_page_settings(folder, columns=["top-1", "beauty"])
    with pytest.raises(ValueError, match=r"beauty.*top-1, .*classifier/accuracy"):
        write_sweep_page(folder)


def test_metrics_that_no_job_has_are_named(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_sweep_page(folder, columns=["top-1", "item recall@10"])
    assert "No job has these metrics: item recall@10." in (folder / "README.md").read_text()
    assert "item recall@10" in caplog.text


def test_jobs_without_query_table_are_named_if_there_is_a_base(methods: Path) -> None:
    write_sweep_page(methods)
    text, names = (methods / "README.md").read_text(), ", ".join(f"dddd000{seed}" for seed in range(5))
    assert f"Jobs without a query table, which have no differences: {names}." in text


def test_the_best_table_lists_the_highest_value_of_each_ratio(folder: Path) -> None:
    write_job(folder, "cccc0000", "resnet18", 0.5, DISTINCT, RECALL)
    write_page_settings(folder, columns=["top-1", "category mAP@100", "item recall@10", "distinct codes", "queries"])
    write_sweep_page(folder)
    [table] = tables(folder, BEST_TITLE)
    assert table[0] == ["metric", "value", "settings"]
    assert table[2:] == [  # item recall@10: a single row has it; queries: not maximised
        ["top-1", "0.500", "backbone.name=alexnet"],  # the first row of a tie
        ["category mAP@100", "0.500", "backbone.name=resnet18"],
    ]


def test_a_single_row_has_no_best_table(folder: Path) -> None:
    (folder / "jobs" / "bbbb0000.parquet").unlink()
    write_sweep_page(folder)
    assert BEST_TITLE not in (folder / "README.md").read_text()


def test_failed_jobs_of_the_sweep_are_listed(make_run: MakeRun) -> None:
    folder = make_run().path.parent
    write_sweep_page(folder)
    assert "Failed jobs" not in (folder / "README.md").read_text()
    records: list[dict[str, Any]] = [
        {"overrides": ["seed=0"], "config": "a", "failure": None},
        {"overrides": ["seed=1", "hash=none"], "config": "b", "failure": "ValueError: a | b"},
    ]
    update_record(folder.parent / ".sweeps" / folder.name, records)
    write_sweep_page(folder)
    [[header, _, *rows]] = tables(folder, "Failed jobs:")
    assert header == ["settings", "reason"]
    assert rows == [["seed=1 hash=none", "ValueError: a \\", "b"]]  # an escaped | is not a cell border in Markdown


def test_the_best_value_is_bold_only_if_significant(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(README)
    for number, seed in np.ndindex(3, 5):
        num_better, codes = (0, 3 * (seed % 2), 1)[number], 9 * number
        base = random_outcomes(seed, 0.5)
        better, much_better = base.copy(), base.copy()  # with additional correct queries, of 60
        better[np.flatnonzero(~base)[:num_better]] = True
        much_better[np.flatnonzero(~base)[:codes]] = True
        write_scored_job(tmp_path, f"eeee00{number}{seed}", {"_target_": HASH_HEAD, "loss": f"loss{number}"}, seed,
               accuracy=better, codes=much_better)  # fmt: skip
    write_sweep_page(tmp_path)
    header, _, *rows = tables(tmp_path)[0]
    cells_by_name = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    assert [cells_by_name[f"loss{number}"]["item mAP@100, codes only"][:2] for number in range(3)] == [
        "0.",
        "0.",
        "**",
    ]
    assert not any(row["top-1"].startswith("**") for row in cells_by_name.values())
    assert BOLD_NOTE in (tmp_path / "README.md").read_text()


def test_the_page_lists_the_machines_of_the_jobs(folder: Path) -> None:
    machine = {"fashion-lsh": "0.3.0", "torch": "2.14.1", "processor": "AMD EPYC", "cores": 2, "gpu": None}
    change_job(folder, "aaaa0000", environment=machine)
    change_job(folder, "bbbb0000", environment=machine)
    write_sweep_page(folder)
    expected = r"2 jobs.* 2 cores.*AMD EPYC.*fashion-lsh 0\.3\.0.*torch 2\.14\.1"
    assert re.search(expected, (folder / "README.md").read_text())
    change_job(folder, "bbbb0000", environment=machine | {"gpu": "NVIDIA H100"})
    write_sweep_page(folder)
    expected = r"2 jobs.*AMD EPYC.*torch 2\.14\.1 \(1\).*NVIDIA H100.*torch 2\.14\.1 \(1\)"
    assert re.search(expected, (folder / "README.md").read_text())


def test_jobs_with_different_code_versions_have_a_warning(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    change_job(folder, "aaaa0000", environment={"code_version": "0a0a"})
    change_job(folder, "bbbb0000", environment={"code_version": "0a0a"})
    write_sweep_page(folder)
    assert "0a0a" not in (folder / "README.md").read_text()
    change_job(folder, "bbbb0000", environment={"code_version": "0b0b"})
    write_sweep_page(folder)
    assert "0a0a (1), 0b0b (1)" in (folder / "README.md").read_text()
    assert "0b0b" in caplog.text
