"""Commands on galleries that store codes only (gallery.embeddings=false)."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from fashion_lsh.cli import encode
from fashion_lsh.runs.run import Run
from fashion_lsh.runs.trust import write_config
from fashion_lsh.search.policy import SearchPolicy
from tests.cli.factories import SMALL, run_gallery, run_script

pytestmark = [pytest.mark.train, pytest.mark.usefixtures("small_chunks")]


@pytest.mark.parametrize("search", [{"distance": "asymmetric"}, {"distance": "rerank", "rerank_by": "asymmetric"}])
def test_gallery_without_embeddings_has_the_same_hits(
    run: Run, images: Path, capsys: pytest.CaptureFixture[str], search: dict[str, Any]
) -> None:
    policy = SearchPolicy(**search, nprobe="all")
    run_gallery(capsys, "add", run.path, images)
    expected = run.searcher(policy).search(images / "07.png", k=20)
    assert len(expected.hits) == 20
    config = {"gallery": {"embeddings": False}, "search": run.config["search"] | search | {"nprobe": "all"}}
    write_config(run.path, run.config | config)
    assert run_gallery(capsys, "build", run.path)[0] == 0
    assert run_gallery(capsys, "add", run.path, images)[0] == 0
    assert Run(run.path).searcher().search(images / "07.png", k=20) == expected
    stats = json.loads(run_gallery(capsys, "stats", run.path, "--json")[1])
    assert (stats["embedding_bytes"], stats["vector_bytes"]) == (0, 8 * stats["garments"])


def test_embeddings_that_are_not_stored_are_missing_or_refused(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_config(run.path, run.config | {"gallery": {"embeddings": False}})
    run_gallery(capsys, "build", run.path)
    assert encode.main([str(run.path), "--gallery", "--out", str(tmp_path / "gallery.parquet")]) == 0
    table = pq.read_table(tmp_path / "gallery.parquet")
    assert (table["embedding"].null_count, table["code"].null_count) == (len(table), 0)
    status, printed = run_gallery(capsys, "overview", run.path, "--out", tmp_path / "overview")
    assert (status, "gallery.embeddings=false" in printed) == (1, True)
    with pytest.raises(ValueError, match=r"search=rerank .*gallery\.embeddings=false"):
        Run(run.path).searcher()


def test_training_is_refused_if_the_search_needs_embeddings_that_are_not_stored(shapes: Path, tmp_path: Path) -> None:
    words = [*SMALL, f"data.root={shapes}", f"runs={tmp_path}", "gallery.embeddings=false"]
    printed = run_script("train.py", *words, status=1)
    assert "search=rerank" in printed
    assert "gallery.embeddings=true" in printed
    assert not list(tmp_path.glob("*/*/*.ckpt"))
