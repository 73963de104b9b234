"""Train, search and evaluate runs with codes of items, on features of the trained classifier."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fashion_lsh import GarmentData, Run
from fashion_lsh.cli.train import log_unpaired_items
from fashion_lsh.models.item_codes import ItemCodeModel
from tests.cli.factories import SMALL, run_script

pytestmark = pytest.mark.train
ITEM_CODES = ["hash=item_contrast", "hash.epochs=2", "hash.embedding_dim=16", "hash.projection=linear"]


def test_item_codes_are_trained_and_searched(shapes: Path, tmp_path: Path) -> None:
    argv = [*SMALL, *ITEM_CODES, "hash.bits=16", "hash.prefixes=[8]", "search=asymmetric", "search.nprobe=2",
            "gallery.embeddings=false",
            f"data.root={shapes}", f"runs={tmp_path}"]  # fmt: skip
    printed = run_script("train.py", *argv)
    assert "**asymmetric**" in printed
    run = tmp_path / "latest"
    assert not (run / "features").exists()
    assert isinstance(Run(run).model(), ItemCodeModel)
    image = min(path for path in shapes.parent.rglob("*") if path.suffix in (".jpg", ".png"))
    assert "distance" in run_script("search", run, image, "--k", 3)
    assert "**hamming**" in run_script("evaluate.py", f"run={run}", "search=hamming")
    by_prefix = run_script("evaluate.py", f"run={run}", "search=hamming", "search.bits=8")
    assert "**hamming 8 bits**" in by_prefix
    assert "hash.prefixes" not in by_prefix
    assert "distance" in run_script("search", run, image, "--bits", 8)
    assert "hash.prefixes: 8" in run_script("search", run, image, "--bits", 12)
    assert "search.bits=17: the codes have 16 bits" in run_script("search", run, image, "--bits", 17, status=1)


def test_an_interrupted_hash_stage_reuses_the_features(shapes: Path, tmp_path: Path) -> None:
    argv = [*SMALL, *ITEM_CODES, f"data.root={shapes}", f"runs={tmp_path}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fashion_lsh.training.item_contrast.ItemContrast.train_batches", lambda *_: 1 / 0)
        run_script("train.py", *argv, status=1)
    [run] = [path for path in (tmp_path / "main").iterdir() if path.is_dir()]
    assert list((run / "features").iterdir())
    printed = run_script("train.py", *argv)
    assert "Reading the features" in printed
    assert not (run / "features").exists()


@pytest.mark.parametrize("needs_pairs", [True, False])
def test_items_with_one_training_image_are_counted_in_the_log(
    needs_pairs: bool, make_data: Callable[..., GarmentData], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    data, stage = make_data(), SimpleNamespace(name="hash_head", needs_item_pairs=needs_pairs)
    stage.model = stage
    log_unpaired_items(stage, data)
    assert not caplog.text  # each item of the shapes has two images
    data.__dict__["items"] = np.arange(len(data.catalogue))  # a cached property
    log_unpaired_items(stage, data)
    count = len(data.rows("train"))
    assert (f"hash_head: {count} of {count} items" in caplog.text) == needs_pairs
