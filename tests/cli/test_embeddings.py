"""Runs on vectors, and runs that share the features of a frozen backbone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from fashion_lsh.models import feature_cache
from fashion_lsh.runs.run import Run
from tests.cli.factories import SMALL, read_results, run_script, scores_without_times
from tests.runs.factories import tiny_backbone

CATEGORIES = ("bag", "coat", "dress")
WIDTH = 8
TRAIN = ["trainer=cpu", "logger=csv", "data.batch_size=16", "optim.lr=0.05", "classifier.epochs=4",
         "split=gallery_is_train"]  # fmt: skip


HASH = ["hash.epochs=4", "hash.lr_factor=1", "hash.head_factor=1", "hash.bits=12"]


def write_vectors(path: Path, per_category: int = 40) -> np.ndarray:
    """Write clusters of vectors, one cluster per category; return their centres, (3, WIDTH)."""
    rng = np.random.default_rng(0)
    centres = 3 * rng.normal(size=(len(CATEGORIES), WIDTH))
    labels = np.arange(per_category * len(CATEGORIES)) % len(CATEGORIES)
    vectors = (centres[labels] + rng.normal(size=(len(labels), WIDTH))).astype(np.float32)
    columns = {"id": [f"v{row}" for row in range(len(labels))], "category": [CATEGORIES[label] for label in labels],
               "embedding": list(vectors)}  # fmt: skip
    pq.write_table(pa.table(columns), path)
    return centres


@pytest.fixture(scope="session")
def vector_runs(shared_folder: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """Runs folder with a finished run on vectors; tests must not change the folder."""

    def train(folder: Path) -> None:
        np.save(folder / "centres.npy", write_vectors(folder / "vectors.parquet"))
        run_script("train.py", "data=embeddings", f"data.root={folder / 'vectors.parquet'}", f"runs={folder}",
                   *TRAIN, *HASH)  # fmt: skip

    return shared_folder("vector_runs", train)


@pytest.mark.train
def test_run_on_vectors_has_scores_gallery_and_report(vector_runs: Path) -> None:
    run = Run(vector_runs / "latest")
    results = read_results(run.path)
    assert results.value("classifier", "accuracy") > 0.9
    assert results.value("search", "map", 100, relevance="category") > 0.8
    assert results.value("search", "end_to_end_ms") > 0
    assert "colour_histogram" not in {row.method for row in results}
    assert not (run.path / "contact_sheet.png").exists()
    assert "without images" in (run.path / "train.log").read_text()
    assert "without images" in (run.path / "report/report.md").read_text()
    with pytest.raises(ValueError, match="without images"):
        run.source()


@pytest.mark.train
def test_vectors_are_evaluated_and_searched(vector_runs: Path, tmp_path: Path) -> None:
    centres = np.load(vector_runs / "centres.npy")
    searcher = Run(vector_runs / "latest").searcher()
    for category, result in zip(CATEGORIES, searcher.search_vectors(centres, k=5), strict=True):
        assert result.category == category
        assert [hit.category for hit in result.hits] == [category] * 5
    with pytest.raises(ValueError, match=f"length {WIDTH}"):
        searcher.search_vectors(centres[:, :3])
    with pytest.raises(ValueError, match="NaN"):
        searcher.search_vectors(np.full((1, WIDTH), np.nan))
    with pytest.raises(ValueError, match=f"length {WIDTH}"):
        searcher.search(np.zeros((20, 20, 3), np.uint8))


@pytest.mark.train
def test_output_of_encode_is_readable(vector_runs: Path, tmp_path: Path) -> None:
    run = Run(vector_runs / "latest")
    run_script("encode", run.path, "--gallery", "--out", tmp_path / "g.parquet")
    printed = run_script(
        "train.py", "data=embeddings", f"data.root={tmp_path / 'g.parquet'}", f"runs={tmp_path / 'runs'}", *TRAIN,
        "hash=none",
    )  # fmt: skip
    assert "categories predicted by the model" in printed
    checkpoint = torch.load(tmp_path / "runs/latest/classifier.ckpt", weights_only=True)
    assert checkpoint["hyper_parameters"]["backbone"]["model"] == run.model().fingerprint()
    assert "garments" in run_script("check", "embeddings", tmp_path / "g.parquet")


@pytest.mark.train
def test_evaluate_refuses_other_vectors(vector_runs: Path, tmp_path: Path) -> None:
    write_vectors(tmp_path / "v.parquet")
    root = f"data.root={tmp_path / 'v.parquet'}"
    run_script("train.py", "data=embeddings", root, f"runs={tmp_path / 'runs'}", *TRAIN)
    run = tmp_path / "runs/latest"
    before = len(read_results(run))
    run_script("evaluate.py", f"run={run}", "search=hamming", "search.nprobe=all")
    assert len(read_results(run)) > before
    write_vectors(tmp_path / "v.parquet", per_category=41)
    assert "data have changed" in run_script("evaluate.py", f"run={run}", "search=hamming", status=1)


def test_backbone_and_data_must_fit(vector_runs: Path, shapes: Path, tmp_path: Path) -> None:
    runs, vectors = f"runs={tmp_path}", f"data.root={vector_runs / 'vectors.parquet'}"
    printed = run_script("train.py", "data=embeddings", vectors, "backbone=resnet18", runs, "logger=csv", status=1)
    assert "backbone.name='resnet18'" in printed
    assert "vectors.parquet" in printed
    printed = run_script("train.py", "data=folder", f"data.root={shapes}", "backbone=vectors", runs, "logger=csv",
                         status=1)  # fmt: skip
    assert "backbone.name='vectors'" in printed


FROZEN = [*SMALL, "backbone.frozen=true", "backbone.name=resnet18"]


@pytest.mark.train
@pytest.mark.usefixtures("tiny")
def test_runs_share_the_features(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second seed encodes no image; evaluation with images adds to the scores and does not change them."""
    weights = tmp_path / "weights.pt"
    torch.manual_seed(0)
    torch.save(tiny_backbone("resnet18").state_dict(), weights)
    argv = [*FROZEN, f"data.root={shapes}", f"runs={tmp_path / 'runs'}", f"backbone.weights={weights}"]
    printed = run_script("train.py", *argv)
    assert "backbone.cached_views=1" in printed
    assert len(list((tmp_path / "runs/.features").glob("[!.]*"))) == 1
    assert {"code", "lsh", "raw_pixels"} <= {row.method for row in read_results(tmp_path / "runs/latest")}
    monkeypatch.setattr(feature_cache, "_encode", None)  # would fail if it was called
    run_script("train.py", *argv, "seed=1")
    assert len(list((tmp_path / "runs/.features").glob("[!.]*"))) == 1
    cached = scores_without_times(tmp_path / "runs/latest")
    run_script("evaluate.py", f"run={tmp_path / 'runs/latest'}", "search=hamming")
    evaluated = scores_without_times(tmp_path / "runs/latest")
    assert evaluated.items() >= cached.items()
    run_script("train.py", *argv, "backbone.cached_views=0")
    assert len(list((tmp_path / "runs/.features").glob("[!.]*"))) == 1


@pytest.mark.train
@pytest.mark.usefixtures("tiny")
def test_trainable_stages_get_images(shapes: Path, tmp_path: Path) -> None:
    argv = [*SMALL, f"data.root={shapes}", f"runs={tmp_path / 'runs'}"]
    run_script("train.py", *argv)
    assert not (tmp_path / "runs/.features").exists()
