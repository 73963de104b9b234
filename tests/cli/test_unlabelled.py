"""A folder of images without labels becomes a searchable gallery by one command."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import resnet18

from fashion_lsh.cli import gallery, search
from fashion_lsh.data.datasets.folder import Folder
from fashion_lsh.gallery import updates
from fashion_lsh.runs.run import Run
from tests.cli.factories import gallery_ids, run_gallery
from tests.data.test_near_duplicates import draw_image

pytestmark = [pytest.mark.train, pytest.mark.usefixtures("small_chunks")]


@pytest.fixture
def arguments(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Arguments of the build command for twelve images, a copy of one of them, and a file that is not an image."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    torch.manual_seed(0)
    torch.save(resnet18().state_dict(), tmp_path / "weights.pth")
    image = Image.fromarray(draw_image(3))
    image.save(images / "large.png")
    image.resize((96, 128)).save(images / "small.jpg", quality=90)
    (images / "damaged.jpg").write_bytes(b"no image")
    return ["build", str(images), "--backbone", "resnet18", "--set", f"backbone.weights={tmp_path / 'weights.pth'}",
            "data.image_size=32", "hash.bits=10", "hash.embedding_dim=12", f"runs={tmp_path / 'runs'}"]  # fmt: skip


def open_built(tmp_path: Path) -> Run:
    [config] = (tmp_path / "runs/unlabelled").glob("*/config.yaml")
    return Run(config.parent)


def test_unlabelled_images_are_searched_and_shown(
    arguments: list[str], images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gallery.main(arguments) == 0
    run = open_built(tmp_path)
    assert str(run.path) in capsys.readouterr().out
    assert gallery_ids(run) == sorted([f"{number:02}.png" for number in range(12)] + ["large.png", "small.jpg"])
    assert [name for name, _ in run.skipped] == ["damaged.jpg"]
    searcher = run.searcher()
    for name in ("07.png", "large.png"):
        result = searcher.search(images / name, k=3)
        assert (result.hits[0].id, result.hits[0].distance) == (name, pytest.approx(0, abs=0.05))
        assert (result.category, result.probability) == ("all", 1)
    assert searcher.search(images / "large.png", k=2).hits[1].id == "small.jpg"  # the copy
    with (run.path / "overview/overview.csv").open(newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert {name for name, row in rows.items() if row["near_dup_group"]} == {"large.png", "small.jpg"}
    assert {row["category"] for row in rows.values()} == {""}  # to be labelled
    assert rows["03.png"]["image"] == str((images / "03.png").resolve())
    for name in ("clusters", "duplicates"):
        assert Image.open(run.path / f"overview/{name}.png").width > 300
    embeddings = searcher.gallery.embeddings[searcher.gallery.rows].astype(np.float32)
    assert embeddings.shape == (14, 12)
    variances = embeddings.var(axis=0)
    assert variances[:3].min() > variances[-3:].max()  # principal axes, in descending order
    assert len(np.unique(np.asarray(searcher.gallery.codes), axis=0)) > 10
    assert search.main([str(run.path), str(images / "07.png"), "--k", "1"]) == 0
    assert "predicted category" not in capsys.readouterr().out  # there is one list only


def test_unlabelled_images_are_searched_without_embeddings(
    arguments: list[str], images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gallery.main([*arguments, "gallery.embeddings=false"]) == 1
    assert "search=rerank" in capsys.readouterr().err
    assert gallery.main([*arguments, "gallery.embeddings=false", "search=asymmetric"]) == 0
    run = open_built(tmp_path)
    assert run.gallery(None).embeddings.shape == (14, 0)
    assert run.searcher().search(images / "07.png", k=1).hits[0].id == "07.png"
    assert not (run.path / "overview").exists()


def test_an_interrupted_build_is_resumed_and_a_complete_one_refused(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery.main(arguments)
    expected = open_built(tmp_path)
    shutil.move(tmp_path / "runs", tmp_path / "whole")
    expected = Run(tmp_path / "whole" / expected.path.relative_to(tmp_path / "runs"))
    with monkeypatch.context() as patch:
        encode_chunks = updates.encode_chunks

        def stop(*words: object) -> object:
            yield next(encode_chunks(*words))  # type: ignore[arg-type]
            raise KeyboardInterrupt

        patch.setattr(updates, "encode_chunks", stop)
        with pytest.raises(KeyboardInterrupt):
            gallery.main(arguments)
    assert len(gallery_ids(open_built(tmp_path))) == 5
    assert gallery.main(arguments) == 0
    resumed = open_built(tmp_path)
    assert resumed.model().fingerprint() == expected.model().fingerprint()
    assert sorted(gallery_ids(resumed)) == sorted(gallery_ids(expected))
    assert gallery.main(arguments) == 1
    assert "gallery add" in capsys.readouterr().err


@pytest.mark.parametrize(("changes", "parts"), [
    ({"resnet18": "resnet81"}, ["resnet81", "timm/resnet18"]),
    ({"resnet18": "torchvision/resnet81"}, ["torchvision/resnet81", "torchvision/resnet18"]),
    ({"resnet18": "timm"}, ["backbone.name"]),
    ({"hash.bits=10": "hash.bits=16", "hash.embedding_dim=12": "hash.embedding_dim=20"}, ["14 readable", "16 bits"]),
    ({"data.image_size=32": "data.image_side=32"}, ["data.image_side"]),
    ({"hash.bits=10": "hash.bits=0"}, ["hash.bits"]),
    ({"--backbone": "", "resnet18": ""}, ["--set", "--backbone"]),
])  # fmt: skip
def test_errors_name_setting_and_way_out(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, str], parts: list[str]
) -> None:
    words = [changes.get(word, word) for word in arguments]
    assert gallery.main([word for word in words if word]) == 1
    printed = capsys.readouterr().err
    assert all(part in printed for part in parts), printed
    assert not list(tmp_path.glob("runs/*/*/*"))


def test_the_gallery_of_a_run_has_an_overview(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, printed = run_gallery(capsys, "overview", run.path, "--out", tmp_path / "overview", "--clusters", 3)
    assert status == 0
    assert "3 clusters" in printed
    with (tmp_path / "overview/overview.csv").open(newline="") as file:
        clusters = [int(row["cluster"]) for row in csv.DictReader(file)]
    assert len(clusters) == len(gallery_ids(run))
    manifest = Folder(str(tmp_path / "overview/overview.csv")).catalogue()
    garments = run.gallery(None).catalogue
    assert manifest.column("category").tolist() == garments.column("category").tolist()
    assert all(Path(path).is_file() for path in manifest.column("image"))
    np.testing.assert_array_equal(manifest.boxes, garments.boxes)
    sizes = np.bincount(clusters)
    assert list(sizes) == sorted(sizes, reverse=True)
