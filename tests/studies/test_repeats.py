"""Rows of runs that differ in seed and split: scores, and agreement between pairs."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fashion_lsh.index.codes import pack
from fashion_lsh.runs.run import Run
from fashion_lsh.studies.repeats import bits_changed, hit_overlap
from tests.report.factories import read_queries
from tests.studies.factories import MakeRun, change_settings, make_repeat, rows_from_runs


def test_codes_of_an_image_are_compared_bit_by_bit() -> None:
    rng = np.random.default_rng(0)
    one, other = (rng.random((50, 12)) for _ in range(2))
    one_bits, other_bits = one > 0.5, other > 0.5
    changed = bits_changed(pack(one), pack(other), 12)
    assert changed["bits changed"] == pytest.approx((one_bits != other_bits).mean())
    assert changed["by chance"] == pytest.approx((one_bits[:, None] != other_bits).mean())  # all pairs of images
    assert bits_changed(pack(one), pack(one), 12)["bits changed"] == 0
    assert bits_changed(pack(one), pack(1 - one), 12)["bits changed"] == 1


def test_hit_overlap_ignores_the_order() -> None:
    first, other, fewer = [["a", "b"], ["c", "d"]], [["b", "a"], ["c", "e"]], [["a"], []]
    assert hit_overlap(first, other) == pytest.approx((1 + 0.5) / 2)
    assert hit_overlap([["a", "b"], []], fewer) == pytest.approx(0.5)  # queries without hits in both lists are skipped
    assert hit_overlap(fewer[1:], fewer[1:]) == 0


def test_rows_are_runs_categories_and_pairs_of_seeds(runs: list[Run]) -> None:
    rows = rows_from_runs(*runs)
    rows_by_type = {
        row_type: [row for row in rows if row["row type"] == row_type] for row_type in ("run", "category", "pair")
    }
    assert [(row["split"], row["seed"]) for row in rows_by_type["run"]] == [(0, 0), (0, 1), (0, 2), (1, 0)]
    assert len(rows_by_type["category"]) == 4 * 3
    assert [row["seeds"] for row in rows_by_type["pair"]] == [
        "0 and 1",
        "0 and 2",
        "1 and 2",
    ]  # pairs have the same split
    assert rows_by_type["run"][1]["blur top-1"] == pytest.approx(0.49)
    outputs = read_queries(runs[0]).to_pylist()
    for row in rows_by_type["category"][:3]:
        own = [output for output in outputs if output["category"] == row["category"]]
        assert row["queries"] == len(own)
        assert row["top-1"] == pytest.approx(np.mean([each["predicted"] == each["category"] for each in own]))
        assert row["category mAP@100"] == pytest.approx(np.mean([each["category/map@100"] for each in own]))
    first = rows_by_type["pair"][0]
    assert (first["bits changed"], first["same prediction"], first["hit overlap"]) == (
        0,
        1,
        1,
    )  # fake runs have the same random numbers


def test_runs_with_the_same_seed_and_split_are_rejected(runs: list[Run], make_run: MakeRun) -> None:
    with pytest.raises(ValueError, match="same backbone, seed and split"):
        rows_from_runs(*runs, make_repeat(make_run, "e", seed=2))


def test_runs_of_one_split_with_different_queries_are_rejected(runs: list[Run], make_run: MakeRun) -> None:
    other = make_repeat(make_run, "e", seed=3)
    path = other.path / "queries.parquet"
    table = pq.read_table(path)
    pq.write_table(table.take(pa.array(range(len(table) - 1, -1, -1))), path)
    with pytest.raises(ValueError, match="different queries"):
        rows_from_runs(*runs, other)


def test_runs_with_different_settings_are_rejected(runs: list[Run], make_run: MakeRun) -> None:
    other = make_repeat(make_run, "e", seed=3)
    change_settings(other, data={"jitter": 0.5})
    with pytest.raises(ValueError, match=r"differ in data\.jitter \(.* and 0\.5\)"):
        rows_from_runs(*runs, other)


def test_all_bits_of_the_code_bytes_are_compared_if_the_code_length_is_not_set(make_run: MakeRun) -> None:
    pair = [make_repeat(make_run, "a"), make_repeat(make_run, "b", seed=1)]
    for run in pair:
        change_settings(run, hash={"_target_": "fashion_lsh.models.baselines.PredictedCategory"})
    assert rows_from_runs(*pair)[-1]["bits changed"] == 0


def test_runs_with_different_initial_weights_are_rejected(runs: list[Run], make_run: MakeRun) -> None:
    other = make_repeat(make_run, "e", seed=3)
    change_settings(other, backbone={"weights": "imagenet"})
    with pytest.raises(ValueError, match=r"differ in backbone\.weights \(.*imagenet.*\)"):
        rows_from_runs(*runs, other)


def test_queries_undetected_in_both_runs_do_not_count_as_equal_predictions(make_run: MakeRun) -> None:
    pair = [make_repeat(make_run, "a"), make_repeat(make_run, "b", seed=1)]
    for run in pair:
        path = run.path / "queries.parquet"
        rows, count = pq.read_table(path).to_pylist(), len(read_queries(run))
        rows[0] |= {"predicted": "", "hits": []}
        pq.write_table(pa.Table.from_pylist(rows), path)
    assert rows_from_runs(*pair)[-1]["same prediction"] == pytest.approx(1 - 1 / count)
