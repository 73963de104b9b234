"""Rows and configurations of a sweep: settings in which jobs differ, and means over seeds."""

import csv
import shutil
from pathlib import Path

import pytest

from fashion_lsh.metrics.results import CLASSIFIER, Result, ResultTable, crop_condition
from fashion_lsh.report.sweep.jobs import read_jobs
from fashion_lsh.report.sweep.page import write_sweep_page
from fashion_lsh.report.sweep.rows import table_rows
from tests.report.sweep.factories import (
    CODE,
    OWN,
    change_job,
    change_settings,
    first_table,
    job_path,
    tables,
    write_job,
    write_page_settings,
)


def accuracy(value: float, mode: str) -> Result:
    """Accuracy of the classifier on crops of this mode."""
    return Result("accuracy", value, method=CLASSIFIER, condition=crop_condition(mode))


def test_the_table_has_one_row_per_job_with_settings_and_scores(folder: Path) -> None:
    write_sweep_page(folder)
    header, _, *rows = first_table(folder)
    assert header[0] == "backbone.name"  # constant settings and settings repeated in classifier.* are left out
    assert header[-1] == "job"
    cells_by_name = [dict(zip(header, row, strict=True)) for row in rows]
    assert [row["backbone.name"] for row in cells_by_name] == ["alexnet", "vgg16"]
    assert cells_by_name[0]["category mAP@100"] == "0.123 [0.113, 0.133]"
    assert (cells_by_name[0]["top-1"], cells_by_name[0]["queries"], cells_by_name[1]["queries"]) == (
        "0.500",
        "311",
        "–",
    )
    assert (cells_by_name[0]["job"], cells_by_name[1]["job"]) == ("bbbb0000", "aaaa0000")


def test_rows_are_sorted_numerically_and_data_is_a_column_if_it_differs(folder: Path) -> None:
    for path in folder.glob("jobs/*"):
        path.unlink()
    for bits in (128, 12, 24):
        write_job(folder, f"cccc{bits:04}", "vgg16", 0.25)
        hash_config = {"_target_": "some.Class", "bits": bits, "backbone": "vgg16"}
        change_settings(folder, f"cccc{bits:04}", hash=hash_config)
        change_job(folder, f"cccc{bits:04}", data=f"d{bits}")
    write_sweep_page(folder)
    header, _, *rows = first_table(folder)
    assert header[:2] == ["hash.bits", "data"]
    assert [row[0] for row in rows] == ["12", "24", "128"]


def test_seeds_are_averaged_with_standard_deviation(folder: Path) -> None:
    for seed in (1, 2):
        score = 0.25 + seed / 100
        write_job(folder, f"dddd000{seed}", "vgg16", score)
        change_settings(folder, f"dddd000{seed}", seed=seed, data={"seed": seed})
    write_sweep_page(folder)
    header, _, *rows = first_table(folder)
    cells_by_name = [dict(zip(header, row, strict=True)) for row in rows]
    assert [row["seeds"] for row in cells_by_name] == ["0", "0, 1, 2"]
    assert [row["category mAP@100"] for row in cells_by_name] == ["0.123 [0.113, 0.133]", "0.260 ± 0.010"]
    with (folder / "results.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 4


def test_jobs_with_one_and_with_several_test_crop_modes_are_on_one_page(folder: Path) -> None:
    write_job(folder, "bbbb0000", "vgg16", 0.25, accuracy(0.5, "whole"), accuracy(0.7, "annotated"))
    write_sweep_page(folder)
    header, _, *rows = first_table(folder)
    cells_by_name = [dict(zip(header, row, strict=True)) for row in rows]
    assert sorted(row["tested on"] for row in cells_by_name) == [
        "annotated",
        "whole",
        *["–"] * (len(cells_by_name) - 2),
    ]


def test_a_job_scored_in_several_crop_modes_has_a_row_for_each(folder: Path) -> None:
    for path in folder.glob("jobs/*"):
        path.unlink()
    for key, mode in (("aaaa0000", "whole"), ("bbbb0000", "detected")):
        results = [
            accuracy(0.5, "whole"), accuracy(0.7, "detected"),
            Result("undetected", 0.1, method="detector", condition=crop_condition("detected")),
            Result("undetected", 0.2, method="detector"), Result("box_ap50", 0.9, method="detector"),
            Result("box_ap50", 0.95, method="detector", scope="class-agnostic"),
            Result("map", 0.75, k=100, relevance="category", condition=crop_condition("detected"), **OWN),
        ]  # fmt: skip
        write_job(folder, key, "vgg16", 0.25, *results)
        change_settings(folder, key, crop={"mode": mode}, data={"crop": mode})
    write_sweep_page(folder)
    header, _, *rows = first_table(folder)
    assert header[:2] == ["crop.mode", "tested on"]
    assert [row[:2] for row in rows] == [["detected", "detected"], ["detected", "whole"],
                                         ["whole", "detected"], ["whole", "whole"]]  # fmt: skip
    names = ("top-1", "undetected", "box AP50", "box AP50, class-agnostic", "category mAP@100")
    detected, whole = ([dict(zip(header, row, strict=True))[name] for name in names] for row in rows[:2])
    assert detected == ["0.700", "0.100", "0.900", "0.950", "0.750"]
    assert whole == ["0.500", "–", "0.900", "0.950", "–"]


def test_the_first_column_is_the_hash_method(methods: Path) -> None:
    write_sweep_page(methods)
    header, _, *rows = tables(methods)[0]
    assert header[:2] == ["hash", "seeds"]  # settings implied by the method are left out
    assert [row[0] for row in rows] == ["csq", "lsh", "none", "softmax"]
    assert "item mAP@100, codes only" in header


def test_the_number_of_seeds_with_a_metric_is_shown(methods: Path) -> None:
    results = read_jobs(methods)[0]["bbbb0001"].results
    remaining = [row for row in results if row.method != "code"]
    change_job(methods, "bbbb0001", results=ResultTable(remaining, results.search))
    write_sweep_page(methods)
    header, _, *rows = tables(methods)[0]
    assert dict(zip(header, rows[0], strict=True))["item mAP@100, codes only"].strip("*").endswith(" (4 of 5)")


def test_two_jobs_with_the_same_seed_are_rejected(methods: Path) -> None:
    shutil.copy(job_path(methods, "bbbb0001"), job_path(methods, "ffff0001"))
    with pytest.raises(ValueError, match=r"bbbb0001.*ffff0001"):
        write_sweep_page(methods)
    assert not (methods / "results.csv").exists()


def test_jobs_with_different_data_are_listed_and_not_averaged(methods: Path) -> None:
    write_page_settings(methods)
    change_job(methods, "bbbb0001", data="d1")
    write_sweep_page(methods)
    assert "bbbb0000, bbbb0002, bbbb0003, bbbb0004, bbbb0001" in (methods / "README.md").read_text()
    header, _, *rows = tables(methods)[0]
    seeds = [row[header.index("seeds")] for row in rows if row[0] == "csq"]
    assert sorted(seeds) == ["0, 2, 3, 4", "1"]


def test_further_metrics_have_the_bounds_of_their_results(folder: Path) -> None:
    balance = Result("balance", 0.25, 0.125, 0.5, **CODE)
    write_job(folder, "cccc0000", "resnet18", 0.5, balance, Result("beauty", float("nan"), method="model"))
    rows = table_rows(read_jobs(folder)[0], ["code/balance", "model/beauty"])
    assert [row.value("code/balance") for row in rows] == [None, 0.25, None]
    flat = rows[1].flat()
    assert [flat[name] for name in ("code/balance", "code/balance low", "code/balance high")] == [0.25, 0.125, 0.5]
    assert flat["job"] == "cccc0000"
    assert "model/beauty" not in flat  # NaN
    assert "top-1 low" not in flat
    assert not any("code/balance" in row.metrics for row in table_rows(read_jobs(folder)[0]))
