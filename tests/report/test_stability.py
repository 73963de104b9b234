"""Runs of other seeds and splits, and the page that is made of them."""

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

from fashion_lsh.evaluation.corruptions import CORRUPTIONS
from fashion_lsh.report.pages import BEGIN, END, Row
from fashion_lsh.report.repeats import bits_changed, hits_alike, repeats
from fashion_lsh.report.stability import by_variation, main, page
from fashion_lsh.retrieval.codes import pack
from fashion_lsh.run import Run

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


@pytest.fixture
def runs(make_run: MakeRun) -> list[Run]:
    return [repeated(make_run, "a"), repeated(make_run, "b", seed=1), repeated(make_run, "c", seed=2),
            repeated(make_run, "d", split=1)]  # fmt: skip


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
    assert hits_alike([["a", "b"], ["c", "d"]], [["b", "a"], ["c", "e"]]) == pytest.approx((1 + 0.5) / 2)
    assert hits_alike([["a", "b"], []], [["a"], []]) == pytest.approx(0.5)  # nothing asked counts for nothing
    assert hits_alike([[]], [[]]) == 0


def test_runs_that_repeat_nothing_are_refused(make_run: MakeRun) -> None:
    rows = repeats([repeated(make_run, "a"), repeated(make_run, "b", seed=1, split=1)])
    with pytest.raises(ValueError, match="no two of these runs differ in their seed, or in their split, alone"):
        page(rows)


def test_rows_tell_of_runs_categories_and_pairs_of_seeds(runs: list[Run]) -> None:
    rows = repeats(runs)
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
        repeats([*runs, repeated(make_run, "e", seed=2)])


def test_other_queries_of_one_split_are_refused(runs: list[Run], make_run: MakeRun) -> None:
    other = repeated(make_run, "e", seed=3)
    path = other.path / "queries.parquet"
    table = pq.read_table(path)
    pq.write_table(table.take(pa.array(range(len(table) - 1, -1, -1))), path)
    with pytest.raises(ValueError, match="are of different queries: make one of them again"):
        repeats([*runs, other])


def test_runs_of_other_settings_are_not_taken_for_repeats(runs: list[Run], make_run: MakeRun) -> None:
    other = repeated(make_run, "e", seed=3)
    config = other.config
    config["data"]["jitter"] = 0.5
    (other.path / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(ValueError, match=r"differ in data\.jitter \(.* and 0\.5\)"):
        repeats([*runs, other])


def test_it_is_a_command() -> None:
    done = subprocess.run([sys.executable, "-m", "fashion_lsh.report.stability"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "usage" in done.stderr


def test_a_run_without_codes_has_no_bits_to_compare(make_run: MakeRun) -> None:
    rows = repeats([repeated(make_run, "a", bits=None), repeated(make_run, "b", seed=1, bits=None)])
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
    text, figures = page(repeats(runs))
    assert "0.710 ± 0.010 (0.700 to 0.720)" in text  # of three seeds
    assert "0.725 ± 0.035 (0.700 to 0.750)" in text  # of two splits
    assert "0.490 ± 0.010" in text
    assert "bits learnt apart have no meaning in common" in text
    assert "Worst of all: by top-1 " in text
    assert " in 3 of 3" in text
    assert list(figures) == ["stability.svg"]
    assert b"occlusion" in figures["stability.svg"]


def test_the_command_writes_the_page(runs: list[Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "page"
    folder.mkdir()
    (folder / "README.md").write_text(f"# Stability\n\n{BEGIN}\n{END}\n")
    assert main([str(folder), *(str(run.path) for run in runs)]) == 0
    assert {path.name for path in folder.iterdir()} == {"README.md", "results.csv", "stability.svg"}
    assert main([str(folder), str(tmp_path)]) == 1
    assert "is no run" in capsys.readouterr().err
