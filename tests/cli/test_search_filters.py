"""Filters of hits in the commands: further columns of added images, --where, --unique-items, --max-distance."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from fashion_lsh.cli import search
from fashion_lsh.evaluation.protocol import EncodedSplit, evaluate
from fashion_lsh.runs.run import Run
from fashion_lsh.search import nearest_relevant
from fashion_lsh.search.nearest_relevant import MIN_QUERIES
from fashion_lsh.search.policy import SearchPolicy
from tests.cli.factories import SMALL, open_gallery, run_gallery, run_script

pytestmark = [pytest.mark.train, pytest.mark.usefixtures("small_chunks")]
PRICES = "path,price,color\n" + "".join(
    f"{number:02}.png,{number}.5,{'red' if number % 2 else 'blue'}\n" for number in range(8)
)


def run_search(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    """Run the search command; return its status, output and errors."""
    status = search.main([str(word) for word in argv])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def search_ids(capsys: pytest.CaptureFixture[str], *argv: object) -> list[str]:
    status, out, err = run_search(capsys, *argv, "--nprobe", "all", "--k", "200", "--json")
    assert (status, err) == (0, "")
    return sorted(record["id"] for record in json.loads(out))


def test_columns_of_added_images_can_be_filtered(
    run: Run, images: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    (images / "prices.csv").write_text(PRICES)
    (images / "plain.csv").write_text("path\n08.png\n09.png\n")
    assert run_gallery(capsys, "add", run.path, images / "prices.csv") == (0, "Added 8 garments\n")
    assert run_gallery(capsys, "add", run.path, images / "plain.csv") == (0, "Added 2 garments\n")
    query, total = images / "00.png", len(open_gallery(run))
    assert search_ids(capsys, run.path, query, "--where", "price < 4 and color = 'red'") == ["01.png", "03.png"]
    assert len(search_ids(capsys, run.path, query, "--where", "price is null")) == total - 8
    assert search_ids(capsys, run.path, query, "--where", "category = 'unknown' and price is null") == [
        "08.png",
        "09.png",
    ]
    status, out, _ = run_search(capsys, run.path, query, "--where", "price < 0")
    assert (status, "gallery passes --where" in out, "--nprobe all" in out) == (0, True, False)
    assert f"0 of {total} garments" in caplog.text


def test_a_filter_that_only_other_lists_pass_names_the_option(
    run: Run, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    query = images / "00.png"
    probed = {hit["id"] for hit in json.loads(run_search(capsys, run.path, query, "--k", "200", "--json")[1])}
    [other, *_] = sorted(set(open_gallery(run).catalogue.column("id")) - probed)
    out = run_search(capsys, run.path, query, "--where", f"id = '{other}'")[1]
    assert ("probed lists passes --where" in out, "--nprobe all" in out) == (True, True)


def test_column_of_another_type_is_rejected_before_encoding(
    run: Run, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "prices.csv").write_text(PRICES)
    run_gallery(capsys, "add", run.path, images / "prices.csv")
    (images / "words.csv").write_text("path,price\n10.png,cheap\n")
    before = len(open_gallery(run))
    status, printed = run_gallery(capsys, "add", run.path, images / "words.csv")
    assert (status, "price" in printed, "string" in printed) == (1, True, True)
    assert len(open_gallery(run)) == before


def test_invalid_filter_is_one_error(run: Run, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for where, named in (("categry = 'a'", "category"), ("category =", "ends here")):
        status, out, err = run_search(capsys, run.path, images, "--where", where)
        assert (status, out, err.count("search.where"), named in err) == (1, "", 1, True)


def test_unique_items_have_one_hit_each(run: Run, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (images / "items.csv").write_text("path,item\n00.png,one\n01.png,one\n02.png,two\n03.png,one\n")
    run_gallery(capsys, "add", run.path, images / "items.csv")
    columns = [open_gallery(run).catalogue.column(name) for name in ("item", "group", "id")]
    keys = [item or group or name for item, group, name in zip(*columns, strict=True)]
    arguments = [run.path, images / "00.png", "--nprobe", "all", "--k", "200", "--unique-items"]
    _, out, _ = run_search(capsys, *arguments, "--json")
    records = json.loads(out)
    assert len(records) == len(set(keys)) < len(keys)
    assert sum(record["folded"] + 1 for record in records) == len(keys)
    assert {record["item"]: record["folded"] for record in records}.items() >= {"one": 2, "two": 0}.items()
    assert "folded" in run_search(capsys, *arguments)[1]


def test_excluded_category_is_not_probed(run: Run, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gallery, names = open_gallery(run), run.model().categories
    found = search_ids(capsys, run.path, images / "00.png", "--exclude", names[0])
    expected = gallery.catalogue.column("id")[gallery.lists != 0]
    assert found == sorted(expected.tolist())
    status, _, err = run_search(capsys, run.path, images / "00.png", "--by", "group")
    assert (status, "search.by=group" in err, "search.groups" in err) == (1, True, True)


def test_distance_limit_is_calibrated_by_the_run(run: Run, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, query = run.path / nearest_relevant.FILE, images / "00.png"
    calibration: dict[str, Any] = json.loads(path.read_text())
    assert calibration.keys() == {"euclidean", "hamming", "queries", "relevance", "kept"}
    assert (calibration["euclidean"] is None) == (calibration["queries"] < MIN_QUERIES)
    _, out, _ = run_search(capsys, run.path, query, "--nprobe", "all", "--k", "10", "--json")
    distances = [record["distance"] for record in json.loads(out)]
    path.write_text(json.dumps(calibration | {"euclidean": (distances[3] + distances[4]) / 2}))
    arguments = [run.path, query, "--nprobe", "all", "--k", "10", "--max-distance"]
    assert len(json.loads(run_search(capsys, *arguments, "auto", "--json")[1])) == 4
    assert "not shown: 6" in run_search(capsys, *arguments, "auto")[1]
    assert "nothing like it" in run_search(capsys, *arguments, distances[0] / 2)[1]
    path.write_text(json.dumps(calibration | {"euclidean": None, "queries": 3}))
    assert f"3 queries with a relevant garment, but {MIN_QUERIES}" in run_search(capsys, *arguments, "auto")[2]
    path.unlink()
    status, _, err = run_search(capsys, *arguments, "auto")
    assert (status, "max_distance=auto" in err, path.name in err) == (1, True, True)


@pytest.mark.parametrize(("change", "named"), [
    ("search.exclude=[cirle]", "circle"), ("search.by=group", "search.groups"), ("search.where=prize", "'prize'"),
    ("search=weighted search.max_distance=auto", "max_distance=auto"),
])  # fmt: skip
def test_training_rejects_settings_before_the_first_epoch(
    change: str, named: str, shapes: Path, tmp_path: Path
) -> None:
    arguments = [*SMALL, f"data.root={shapes}", f"runs={tmp_path / 'runs'}", *change.split()]
    assert named in run_script("train.py", *arguments, status=1)
    assert not (tmp_path / "runs").exists()


def test_evaluation_scores_the_ranking_and_refuses_filters(runs: Path, tmp_path: Path) -> None:
    shutil.copytree((runs / "latest").resolve(), tmp_path / "run")
    run = Run(tmp_path / "run")
    for change in ("search.unique_items=true", "search.max_distance=0.5", "search.where='main'"):
        assert change.partition("=")[0] in run_script("evaluate.py", f"run={run.path}", change, status=1)
    search_config = run.config["search"] | {"unique_items": True, "where": "main", "nprobe": 2}
    (run.path / "config.yaml").write_text(yaml.safe_dump(run.config | {"search": search_config}, sort_keys=False))
    printed = run_script("evaluate.py", f"run={run.path}")
    assert "search.unique_items" in printed
    assert "2 lists" in printed


def test_evaluate_function_refuses_filters(run: Run) -> None:
    searcher = run.searcher(SearchPolicy(unique_items=True))
    gallery = searcher.gallery.catalogue
    with pytest.raises(ValueError, match="unique_items=True"):
        evaluate(searcher, EncodedSplit(gallery, None, {}))  # type: ignore[arg-type]
