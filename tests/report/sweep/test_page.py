"""An experiment's table, from the files its jobs left."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.evaluation.query_scores import packed, unpacked
from fashion_lsh.metrics.paired import paired_difference
from fashion_lsh.report.__main__ import main
from fashion_lsh.report.page_file import BEGIN, END
from fashion_lsh.report.sweep.page import BOLD, gather

README = f"# Backbones\n\nThe question.\n\n{BEGIN}\nolder\n{END}\n\nWhat it shows.\n"
EXPERIMENTS = sorted(
    path.parent
    for path in (Path(__file__).parents[3] / "experiments").rglob("jobs")
    if path.parent.name != "stability"  # its page is made of the runs' folders
)


def job(folder: Path, key: str, backbone: str, score: float, **metrics: float) -> None:
    (folder / "jobs").mkdir(exist_ok=True)
    settings: dict[str, Any] = {
        "seed": 0, "backbone": {"name": backbone, "weights": None}, "data": {"image_size": 64},
        "classifier": {"backbone": backbone, "epochs": 3},
    }  # fmt: skip
    name = "query/category/map@100"
    found = {"query/accuracy": 0.5, name: score, f"{name}_low": score - 0.01, f"{name}_high": score + 0.01, **metrics}
    made = {"settings": settings, "data": "d0", "environment": {"fashion-lsh": "0.1.0"}, "metrics": found}
    (folder / "jobs" / f"{key}.json").write_text(json.dumps(made))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "README.md").write_text(README)
    job(tmp_path, "aaaa0000", "vgg16", 0.25)
    job(tmp_path, "bbbb0000", "alexnet", 0.1234567, **{"query/count": 311})
    return tmp_path


def cells(folder: Path) -> list[list[str]]:
    return tables(folder)[0]


def test_a_row_a_job_with_what_differs_and_its_scores(folder: Path) -> None:
    gather(folder)
    header, _, *rows = cells(folder)
    assert header[0] == "backbone.name"  # neither what is the same in all, nor what a stage repeats
    assert header[-1] == "job"
    found = [dict(zip(header, row, strict=True)) for row in rows]
    assert [row["backbone.name"] for row in found] == ["alexnet", "vgg16"]
    assert found[0]["category mAP@100"] == "0.123 [0.113, 0.133]"
    assert (found[0]["top-1"], found[0]["queries"], found[1]["queries"]) == ("0.500", "311", "–")
    assert (found[0]["job"], found[1]["job"]) == ("bbbb0000", "aaaa0000")


def test_the_file_keeps_all_digits_and_the_text_around_the_table_stays(folder: Path) -> None:
    gather(folder)
    with (folder / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["category mAP@100"]) == 0.1234567
    assert float(rows[0]["category mAP@100 low"]) == pytest.approx(0.1134567)
    text = (folder / "README.md").read_text()
    assert text.startswith("# Backbones\n\nThe question.\n\n")
    assert text.endswith(f"{END}\n\nWhat it shows.\n")
    assert "older" not in text
    gather(folder)
    assert (folder / "README.md").read_text() == text


def test_rows_are_ordered_by_number_and_told_apart_by_data(folder: Path) -> None:
    for path in folder.glob("jobs/*.json"):
        path.unlink()
    for bits in (128, 12, 24):
        job(folder, f"cccc{bits:04}", "vgg16", 0.25)
        path = folder / "jobs" / f"cccc{bits:04}.json"
        content = json.loads(path.read_text())
        content["settings"]["hash"] = {"_target_": "some.Class", "bits": bits, "backbone": "vgg16"}
        path.write_text(json.dumps(content | {"data": f"d{bits}"}))
    gather(folder)
    header, _, *rows = cells(folder)
    assert header[:2] == ["hash.bits", "data"]
    assert [row[0] for row in rows] == ["12", "24", "128"]


def test_rows_of_several_seeds_are_one_with_mean_and_deviation(folder: Path) -> None:
    for seed in (1, 2):
        score = 0.25 + seed / 100
        job(folder, f"dddd000{seed}", "vgg16", score)
        path = folder / "jobs" / f"dddd000{seed}.json"
        content = json.loads(path.read_text())
        content["settings"] |= {"seed": seed}
        content["settings"]["data"] |= {"seed": seed}
        path.write_text(json.dumps(content))
    gather(folder)
    header, _, *rows = cells(folder)
    found = [dict(zip(header, row, strict=True)) for row in rows]
    assert [row["seeds"] for row in found] == ["0", "0, 1, 2"]
    assert [row["category mAP@100"] for row in found] == ["0.123 [0.113, 0.133]", "0.260 ± 0.010"]
    with (folder / "results.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 4


def test_jobs_with_and_without_other_crops_stand_on_one_page(folder: Path) -> None:
    job(folder, "bbbb0000", "vgg16", 0.25, **{"crops/whole/accuracy": 0.5, "crops/annotated/accuracy": 0.7})
    gather(folder)
    header, _, *rows = cells(folder)
    found = [dict(zip(header, row, strict=True)) for row in rows]
    assert sorted(row["tested on"] for row in found) == ["annotated", "whole", *["–"] * (len(found) - 2)]


def test_a_job_that_was_scored_with_several_crops_has_a_row_for_each(folder: Path) -> None:
    for path in folder.glob("jobs/*.json"):
        path.unlink()
    for key, mode in (("aaaa0000", "whole"), ("bbbb0000", "detected")):
        scores = {"crops/whole/accuracy": 0.5, "crops/detected/accuracy": 0.7, "crops/detected/missed": 0.1}
        job(folder, key, "vgg16", 0.25, **scores, **{"detector/query/box_ap50": 0.9})
        path = folder / "jobs" / f"{key}.json"
        content = json.loads(path.read_text())
        content["settings"] |= {"crop": {"mode": mode}}
        content["settings"]["data"] |= {"crop": mode}
        path.write_text(json.dumps(content))
    gather(folder)
    header, _, *rows = cells(folder)
    assert header[:2] == ["crop.mode", "tested on"]
    assert [row[:2] for row in rows] == [["detected", "detected"], ["detected", "whole"],
                                         ["whole", "detected"], ["whole", "whole"]]  # fmt: skip
    found = dict(zip(header, rows[0], strict=True))
    assert (found["top-1"], found["nothing found"], found["box AP50"]) == ("0.700", "0.100", "0.900")


@pytest.mark.parametrize(("spoil", "reason"), [
    (lambda folder: [path.unlink() for path in (folder / "jobs").iterdir()], "no jobs/*.json in"),
    (lambda folder: (folder / "jobs" / "aaaa0000.json").write_text('{"settings": {'), "aaaa0000.json is damaged"),
    (lambda folder: (folder / "jobs" / "aaaa0000.json").write_text('{"settings": {}}'), "aaaa0000.json is damaged"),
    (lambda folder: (folder / "README.md").write_text("no place"), "README.md has no place for the table"),
    (lambda folder: (folder / "README.md").write_text(f"{END}{BEGIN}"), "README.md has no place for the table"),
])  # fmt: skip
def test_what_cannot_be_gathered_is_named_and_nothing_is_written(
    folder: Path, spoil: Any, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(folder)
    assert main([str(folder)]) == 1
    assert reason in capsys.readouterr().err
    assert not (folder / "results.csv").exists()


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda path: path.name)
def test_tables_of_the_experiments_are_what_their_jobs_say(experiment: Path, tmp_path: Path) -> None:
    copy = tmp_path / experiment.name
    (copy / "jobs").mkdir(parents=True)
    for path in [*experiment.glob("jobs/*.json"), experiment / "README.md"]:
        (copy / path.relative_to(experiment)).write_bytes(path.read_bytes())
    gather(copy)
    for path in (path for path in experiment.glob("*.*") if path.suffix != ".html"):
        assert (copy / path.name).read_text() == path.read_text()


QUERIES, HASHER = 60, "fashion_lsh.models.hash_head.Hasher"
BASE = "<!-- base: hash=softmax -->"


def scored(folder: Path, key: str, layer: dict[str, Any] | None, seed: int, **right: np.ndarray) -> None:
    """A job of a method with the scores of its queries, 0 or 1 each, by the names of the measures."""
    names = {"accuracy": "query/accuracy", "codes": "rows/code/item/map@100"}
    scores = {names[name]: values.astype(np.float32) for name, values in right.items()}
    count = len(next(iter(scores.values()), np.empty(QUERIES)))
    ids, items = [f"q{row}" for row in range(count)], [f"i{row // 2}" for row in range(count)]
    query = Catalogue.of({"id": ids, "picture": ids, "category": ["c"] * count, "item": items})
    job(folder, key, "vgg16", 0.25, **{name: float(values.mean()) for name, values in scores.items()})
    path = folder / "jobs" / f"{key}.json"
    content = json.loads(path.read_text())
    content["settings"] |= {"seed": seed, "hash": layer}
    path.write_text(json.dumps(content | ({"queries": packed(query, scores)} if scores else {})))


def change(folder: Path, key: str, **content: Any) -> None:
    path = folder / "jobs" / f"{key}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | content))


def right(seed: int, share: float) -> np.ndarray:
    return np.random.default_rng(seed).permutation(QUERIES) < share * QUERIES


@pytest.fixture
def methods(tmp_path: Path) -> Path:
    """Four methods, three seeds each: one as good as the base, one better, one without scores of its queries."""
    (tmp_path / "README.md").write_text(f"# Methods\n\n{BASE}\n\n{README}")
    for seed in range(3):
        base = right(seed, 0.5)
        scored(tmp_path, f"aaaa000{seed}", {"_target_": HASHER, "bits": 48}, seed, accuracy=base, codes=base)
        same = np.roll(base, 1) if seed else base
        scored(tmp_path, f"bbbb000{seed}", {"_target_": HASHER, "bits": 48, "loss": "csq", "weight": 0.1}, seed,
               accuracy=same, codes=base | right(seed + 9, 0.6))  # fmt: skip
        scored(tmp_path, f"cccc000{seed}", {"_target_": "fashion_lsh.models.baselines.LSH", "bits": 48}, seed + 1,
               accuracy=right(seed + 1, 0.5) & right(7, 0.3))  # fmt: skip
        scored(tmp_path, f"dddd000{seed}", None, seed)
    return tmp_path


def tables(folder: Path) -> list[list[list[str]]]:
    text = (folder / "README.md").read_text().partition(BEGIN)[2].partition(END)[0]
    parts = [part for part in text.split("\n\n") if part.startswith("|")]
    return [[[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines()] for part in parts]


def test_rows_are_named_by_the_method_of_their_codes(methods: Path) -> None:
    gather(methods)
    header, _, *rows = tables(methods)[0]
    assert header[:2] == ["hash", "seeds"]  # not what follows from it
    assert [row[0] for row in rows] == ["csq", "lsh", "none", "softmax"]
    assert "item mAP@100, codes alone" in header


def test_arms_are_compared_with_the_base_by_seed_and_query(methods: Path) -> None:
    gather(methods)
    header, _, *rows = tables(methods)[1]
    assert header == ["hash", "seeds", "top-1", "item mAP@100, codes alone"]
    assert [row[:2] for row in rows] == [["csq", "0, 1, 2"], ["lsh", "1, 2"], ["none", "–"]]
    csq, lsh, none = rows
    assert csq[2].startswith("+0.000 [-")
    assert csq[3].startswith("**+0.")
    assert lsh[2].startswith("**-0.")
    assert lsh[3] == "–"  # no scores of this measure
    assert none[2:] == ["–", "–"]
    base, arm = ([unpacked(json.loads((methods / "jobs" / f"{name}000{seed}.json").read_text())["queries"])
                  for seed in range(3)] for name in ("aaaa", "bbbb"))  # fmt: skip
    name = "rows/code/item/map@100"
    found = paired_difference([one.scores[name] for one in base], [one.scores[name] for one in arm], base[0].groups)
    assert csq[3] == f"**{found.mean:+.3f} [{found.low:.3f}, {found.high:.3f}]**"
    text = (methods / "README.md").read_text()
    assert "Differences from hash=softmax, paired by seed and query: mean [95 % interval]\n\n|" in text
    assert "no direction is claimed" in text
    with (methods / "results.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 12
    gather(methods)
    assert (methods / "README.md").read_text() == text


@pytest.mark.parametrize(("arms", "bold"), [(1, True), (3, False)])
def test_what_is_a_finding_of_one_arm_is_none_of_one_among_three(tmp_path: Path, arms: int, bold: bool) -> None:
    (tmp_path / "README.md").write_text(README.replace("The question.", "<!-- base: hash=loss0 -->"))
    base = right(0, 0.5)
    for number in range(arms + 1):
        better = base.copy()
        better[np.flatnonzero(~base)[: 6 if number else 0]] = True  # six of sixty: a p of 0.023
        scored(tmp_path, f"eeee000{number}", {"_target_": HASHER, "loss": f"loss{number}"}, 0, accuracy=better)
    gather(tmp_path)
    header, _, *rows = tables(tmp_path)[1]
    assert header == ["hash", "top-1"]
    text = "+0.100 [0.017, 0.200]"
    assert [row[1] for row in rows] == [f"**{text}**" if bold else text] * arms


@pytest.mark.parametrize(("base", "reason"), [
    ("hash=dpsh", r"base: hash=dpsh names 0 rows: .*: hash=csq; hash=lsh; hash=none; hash=softmax"),
    ("hash", "base: hash names 0 rows"),
    ("bits=48", "base: bits=48 names 0 rows"),
    ("hash=softmax -->\n<!-- base: hash=csq", r"README\.md names 2 bases, hash=softmax and hash=csq: leave one"),
])  # fmt: skip
def test_a_base_that_is_no_one_row_is_named(methods: Path, base: str, reason: str) -> None:
    (methods / "README.md").write_text(README.replace("The question.", f"<!-- base: {base} -->"))
    with pytest.raises(ValueError, match=reason):
        gather(methods)
    assert not (methods / "results.csv").exists()


def test_a_base_of_several_rows_is_named(methods: Path) -> None:
    scored(methods, "ffff0000", {"_target_": HASHER, "bits": 12}, 0)
    with pytest.raises(
        ValueError, match=r"base: hash=softmax names 2 rows: .*hash=softmax hash\.bits=12; hash=softmax"
    ):
        gather(methods)
    (methods / "README.md").write_text(README.replace("The question.", "<!-- base: hash=softmax hash.bits=48 -->"))
    gather(methods)
    assert [row[:3] for row in tables(methods)[1][2:]][-1] == ["softmax", "12", "–"]


def test_a_base_may_be_asked_for_where_the_page_names_none(methods: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (methods / "README.md").write_text(README)
    assert main([str(methods), "--base", "hash=csq"]) == 0
    assert capsys.readouterr().out == f"{methods / 'index.html'}\n"
    assert "Differences from hash=csq" in (methods / "README.md").read_text()


def test_other_data_and_other_queries_are_refused(methods: Path) -> None:
    change(methods, "bbbb0001", data="d1")
    with pytest.raises(ValueError, match=r"jobs aaaa0000 and bbbb0001 are of different data.*remove one"):
        gather(methods)
    change(methods, "bbbb0001", data="d0")
    scored(methods, "bbbb0001", {"_target_": HASHER, "bits": 48, "loss": "csq", "weight": 0.1}, 1, accuracy=np.ones(8))
    with pytest.raises(ValueError, match=r"jobs aaaa0000 and bbbb0001 are of different queries.*remove one"):
        gather(methods)
    assert not (methods / "results.csv").exists()


def test_damaged_scores_of_queries_are_named(methods: Path) -> None:
    change(methods, "bbbb0001", queries={"ids": "0", "items": "none"})
    with pytest.raises(ValueError, match=r"bbbb0001\.json is damaged"):
        gather(methods)


def test_a_base_alone_has_nothing_to_be_compared_with(methods: Path) -> None:
    for path in (methods / "jobs").glob("[bcd]*"):
        path.unlink()
    gather(methods)
    assert len(tables(methods)[0]) == 3  # and the second has no row
    assert "**" not in str(tables(methods)[0])
    assert not any(len(part) > 2 for part in tables(methods)[1:])


def test_a_page_says_which_measures_it_shows(folder: Path) -> None:
    job(folder, "cccc0000", "resnet18", 0.5, **{"codes/distinct": 164.0, "query/item/recall@10": 0.4})
    page = folder / "README.md"
    gather(folder)
    assert "distinct codes" not in cells(folder)[0]  # special ones are shown where they are asked for
    page.write_text(f"<!-- columns: category mAP@100 | distinct codes -->\n{page.read_text()}")
    gather(folder)
    header, _, *rows = cells(folder)
    assert header == ["backbone.name", "category mAP@100", "distinct codes", "job"]
    assert dict(zip(header, rows[1], strict=True))["distinct codes"] == "164"
    with (folder / "results.csv").open(newline="") as file:
        assert "item recall@10" in next(csv.reader(file))


def test_a_measure_that_there_is_not_is_named(folder: Path) -> None:
    page = folder / "README.md"
    page.write_text(f"<!-- columns: top-1 | beauty -->\n{page.read_text()}")
    with pytest.raises(ValueError, match="column 'beauty' is unknown; known are top-1, "):
        gather(folder)


def test_the_best_is_bold_only_where_it_surely_is(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(README)
    base = right(0, 0.5)
    for number, (more, codes) in enumerate(((0, 0), (2, 9), (1, 18))):  # more queries right, of sixty
        better, surely = base.copy(), base.copy()
        better[np.flatnonzero(~base)[:more]] = True
        surely[np.flatnonzero(~base)[:codes]] = True
        scored(tmp_path, f"eeee000{number}", {"_target_": HASHER, "loss": f"loss{number}"}, 0,
               accuracy=better, codes=surely)  # fmt: skip
    gather(tmp_path)
    header, _, *rows = tables(tmp_path)[0]
    found = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    assert [found[f"loss{number}"]["item mAP@100, codes alone"][:2] for number in range(3)] == ["0.", "0.", "**"]
    assert not any(row["top-1"].startswith("**") for row in found.values())
    assert BOLD in (tmp_path / "README.md").read_text()


def test_a_seed_that_lacks_a_measure_is_counted(methods: Path) -> None:
    path = methods / "jobs/bbbb0001.json"
    content = json.loads(path.read_text())
    del content["metrics"]["rows/code/item/map@100"]
    change(methods, "bbbb0001", metrics=content["metrics"])
    gather(methods)
    header, _, *rows = tables(methods)[0]
    assert dict(zip(header, rows[0], strict=True))["item mAP@100, codes alone"].endswith(" (2 of 3)")


def test_two_jobs_of_one_seed_are_named(methods: Path) -> None:
    (methods / "jobs/ffff0001.json").write_text((methods / "jobs/bbbb0001.json").read_text())
    with pytest.raises(ValueError, match="jobs bbbb0001 and ffff0001 are of the same settings, seed and data: remove"):
        gather(methods)
    assert not (methods / "results.csv").exists()


def test_jobs_of_different_data_are_not_averaged_and_named(methods: Path) -> None:
    (methods / "README.md").write_text(README)
    change(methods, "bbbb0001", data="d1")
    gather(methods)
    assert "Not averaged, for their data differ: bbbb0000, bbbb0002, bbbb0001." in (methods / "README.md").read_text()
    header, _, *rows = tables(methods)[0]
    seeds = [row[header.index("seeds")] for row in rows if row[0] == "csq"]
    assert sorted(seeds) == ["0, 2", "1"]


def test_the_page_says_on_what_the_jobs_were_made(folder: Path) -> None:
    here = {"fashion-lsh": "0.3.0", "torch": "2.14.1", "processor": "AMD EPYC", "cores": 2, "gpu": None}
    change(folder, "aaaa0000", environment=here)
    change(folder, "bbbb0000", environment=here)
    gather(folder)
    told = "2 jobs, made on 2 cores of AMD EPYC with fashion-lsh 0.3.0 and torch 2.14.1."
    assert told in (folder / "README.md").read_text()
    change(folder, "bbbb0000", environment=here | {"gpu": "NVIDIA H100"})
    gather(folder)
    told = "torch 2.14.1 (1); on NVIDIA H100 with fashion-lsh 0.3.0 and torch 2.14.1 (1)."
    assert told in (folder / "README.md").read_text()
