"""Rows and configurations of a sweep: settings in which jobs differ, and means over seeds."""

import csv
import json
from pathlib import Path

import pytest

from fashion_lsh.report.sweep.page import write_sweep_page
from tests.report.sweep.factories import README, change_job, first_table, tables, write_job


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
    for path in folder.glob("jobs/*.json"):
        path.unlink()
    for bits in (128, 12, 24):
        write_job(folder, f"cccc{bits:04}", "vgg16", 0.25)
        path = folder / "jobs" / f"cccc{bits:04}.json"
        content = json.loads(path.read_text())
        content["settings"]["hash"] = {"_target_": "some.Class", "bits": bits, "backbone": "vgg16"}
        path.write_text(json.dumps(content | {"data": f"d{bits}"}))
    write_sweep_page(folder)
    header, _, *rows = first_table(folder)
    assert header[:2] == ["hash.bits", "data"]
    assert [row[0] for row in rows] == ["12", "24", "128"]


def test_seeds_are_averaged_with_standard_deviation(folder: Path) -> None:
    for seed in (1, 2):
        score = 0.25 + seed / 100
        write_job(folder, f"dddd000{seed}", "vgg16", score)
        path = folder / "jobs" / f"dddd000{seed}.json"
        content = json.loads(path.read_text())
        content["settings"] |= {"seed": seed}
        content["settings"]["data"] |= {"seed": seed}
        path.write_text(json.dumps(content))
    write_sweep_page(folder)
    header, _, *rows = first_table(folder)
    cells_by_name = [dict(zip(header, row, strict=True)) for row in rows]
    assert [row["seeds"] for row in cells_by_name] == ["0", "0, 1, 2"]
    assert [row["category mAP@100"] for row in cells_by_name] == ["0.123 [0.113, 0.133]", "0.260 ± 0.010"]
    with (folder / "results.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 4


def test_jobs_with_one_and_with_several_test_crop_modes_are_on_one_page(folder: Path) -> None:
    write_job(folder, "bbbb0000", "vgg16", 0.25, **{"crops/whole/accuracy": 0.5, "crops/annotated/accuracy": 0.7})
    write_sweep_page(folder)
    header, _, *rows = first_table(folder)
    cells_by_name = [dict(zip(header, row, strict=True)) for row in rows]
    assert sorted(row["tested on"] for row in cells_by_name) == [
        "annotated",
        "whole",
        *["–"] * (len(cells_by_name) - 2),
    ]


def test_a_job_scored_in_several_crop_modes_has_a_row_for_each(folder: Path) -> None:
    for path in folder.glob("jobs/*.json"):
        path.unlink()
    for key, mode in (("aaaa0000", "whole"), ("bbbb0000", "detected")):
        scores = {"crops/whole/accuracy": 0.5, "crops/detected/accuracy": 0.7, "crops/detected/undetected": 0.1}
        write_job(folder, key, "vgg16", 0.25, **scores, **{"detector/query/box_ap50": 0.9})
        path = folder / "jobs" / f"{key}.json"
        content = json.loads(path.read_text())
        content["settings"] |= {"crop": {"mode": mode}}
        content["settings"]["data"] |= {"crop": mode}
        path.write_text(json.dumps(content))
    write_sweep_page(folder)
    header, _, *rows = first_table(folder)
    assert header[:2] == ["crop.mode", "tested on"]
    assert [row[:2] for row in rows] == [["detected", "detected"], ["detected", "whole"],
                                         ["whole", "detected"], ["whole", "whole"]]  # fmt: skip
    cells_by_name = dict(zip(header, rows[0], strict=True))
    assert (cells_by_name["top-1"], cells_by_name["undetected"], cells_by_name["box AP50"]) == (
        "0.700",
        "0.100",
        "0.900",
    )


def test_the_first_column_is_the_hash_method(methods: Path) -> None:
    write_sweep_page(methods)
    header, _, *rows = tables(methods)[0]
    assert header[:2] == ["hash", "seeds"]  # settings implied by the method are left out
    assert [row[0] for row in rows] == ["csq", "lsh", "none", "softmax"]
    assert "item mAP@100, codes only" in header


def test_the_number_of_seeds_with_a_metric_is_shown(methods: Path) -> None:
    path = methods / "jobs/bbbb0001.json"
    content = json.loads(path.read_text())
    del content["metrics"]["baselines/code/item/map@100"]
    change_job(methods, "bbbb0001", metrics=content["metrics"])
    write_sweep_page(methods)
    header, _, *rows = tables(methods)[0]
    assert dict(zip(header, rows[0], strict=True))["item mAP@100, codes only"].endswith(" (2 of 3)")


def test_two_jobs_with_the_same_seed_are_rejected(methods: Path) -> None:
    (methods / "jobs/ffff0001.json").write_text((methods / "jobs/bbbb0001.json").read_text())
    with pytest.raises(ValueError, match=r"bbbb0001.*ffff0001"):
        write_sweep_page(methods)
    assert not (methods / "results.csv").exists()


def test_jobs_with_different_data_are_listed_and_not_averaged(methods: Path) -> None:
    (methods / "README.md").write_text(README)
    change_job(methods, "bbbb0001", data="d1")
    write_sweep_page(methods)
    assert "bbbb0000, bbbb0002, bbbb0001" in (methods / "README.md").read_text()
    header, _, *rows = tables(methods)[0]
    seeds = [row[header.index("seeds")] for row in rows if row[0] == "csq"]
    assert sorted(seeds) == ["0, 2", "1"]
