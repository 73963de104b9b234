"""Batches match the catalogue, and augmentation depends only on (seed, epoch, row)."""

import csv
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.crops import crop_image
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.dataset import Batch
from fashion_lsh.data.images import open_image
from fashion_lsh.data.loaders import build_image_loader

MakeData = Callable[..., GarmentData]


def train_images(data: GarmentData, epoch: int = 0) -> dict[int, bytes]:
    """Crops of one training epoch: row -> pixels as bytes."""
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return {
        int(row): image.numpy().tobytes()
        for batch in loader
        for row, image in zip(batch.rows, batch.images, strict=True)
    }


def concatenate(batches: Any) -> Batch:
    return Batch(*(torch.cat(parts) for parts in zip(*batches, strict=True)))


def write_manifest(folder: Path, shapes: Path, **columns: Any) -> str:
    """Write the manifest of the synthetic images; each passed column is replaced by a function of the row."""
    with shapes.open(newline="") as file:
        rows = [{**row, "image": str(shapes.parent / row["image"]), "id": row["image"]} for row in csv.DictReader(file)]
    rows = [{**row, **{name: value(row) for name, value in columns.items()}} for row in rows]
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return str(folder / "manifest.csv")


def test_leaks_of_published_splits_are_reported_and_kept(make_data: MakeData, caplog: pytest.LogCaptureFixture) -> None:
    data = make_data(leaks="report")
    rows = data.source.catalogue()
    splits = np.array(["train", "query", "val", "gallery"] * len(rows), dtype=object)[: len(rows)]
    data.source.catalogue = lambda filters=None: rows.with_columns(split=splits)  # type: ignore[method-assign]
    assert data.catalogue.column("split").tolist() == splits.tolist()
    assert re.search(r"\d+ values of item \(for example \S+; \d+ garments\)", caplog.text)


def test_exact_copies_in_published_splits_are_reported_and_kept(
    shapes: Path, tmp_path: Path, make_data: MakeData, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["train", "val", "query", "gallery"]
    root = write_manifest(tmp_path, shapes, split=lambda row: names[int(row["item"].split("-")[1]) % 4])
    with Path(root).open(newline="") as file:
        first = next(row for row in csv.DictReader(file) if row["split"] == "query")
    copy = tmp_path / "copy.png"
    copy.write_bytes(Path(first["image"]).read_bytes())
    with Path(root).open("a", newline="") as file:
        added = {**first, "image": str(copy), "id": "copy", "item": "", "split": "train"}
        csv.DictWriter(file, list(first)).writerow(added)
    official, without_leaks = (make_data(root=root, leaks=leaks) for leaks in ("report", "drop"))
    assert "copy" in official.catalogue.column("id")
    assert "copy" not in without_leaks.catalogue.column("id")
    assert "1 values of group" in caplog.text


def test_batches_contain_uint8_images_labels_and_rows(make_data: MakeData) -> None:
    data = make_data()
    for loader in (data.train_dataloader(), data.val_dataloader(), data.loader("query"), data.loader("gallery")):
        for batch in loader:
            count = len(batch.rows)
            assert batch.images.shape == (count, 3, 32, 32)
            assert (batch.images.dtype, batch.labels.dtype, batch.rows.dtype) == (torch.uint8, torch.int64, torch.int64)
            assert count <= 16


def test_labels_are_positions_in_categories(make_data: MakeData, shapes: Path) -> None:
    data = make_data()
    assert data.categories == ["circle", "cross", "square"]
    with shapes.open(newline="") as file:
        category = {row["image"]: row["category"] for row in csv.DictReader(file)}
    for loader in (data.train_dataloader(), data.loader("gallery")):
        batch = concatenate(loader)
        image_keys = data.catalogue.column("image")[batch.rows.numpy()]
        assert [data.categories[label] for label in batch.labels] == [category[key] for key in image_keys]


@pytest.mark.parametrize("split_name", ["train", "val", "query", "gallery"])
def test_the_evaluation_loader_returns_crops_in_row_order(make_data: MakeData, shapes: Path, split_name: Any) -> None:
    data = make_data(batch_size=5)
    batch = concatenate(data.loader(split_name))
    assert batch.rows.tolist() == sorted(batch.rows.tolist()) == data.catalogue.rows(split_name).tolist()
    for row, image in zip(batch.rows.tolist(), batch.images.numpy(), strict=True):
        pixels = open_image(shapes.parent / data.catalogue.column("image")[row])
        expected = crop_image(pixels, data.catalogue.boxes[row], 0.1, 32)
        assert np.array_equal(image.transpose(1, 2, 0), expected)


def test_the_evaluation_loader_does_not_depend_on_the_seed(make_data: MakeData) -> None:
    first, repeated, other_seed = (concatenate(make_data(seed=seed).loader("val")) for seed in (0, 0, 1))
    assert torch.equal(first.images, repeated.images)
    assert torch.equal(first.images, other_seed.images)


def test_crop_whole_uses_the_whole_image(make_data: MakeData, shapes: Path) -> None:
    data = make_data(crop="whole", margin=0.5)
    batch = concatenate(data.loader("val"))
    assert np.isnan(data.crop_boxes).all()
    pixels = open_image(shapes.parent / data.catalogue.column("image")[batch.rows[0]])
    assert np.array_equal(batch.images[0].numpy().transpose(1, 2, 0), crop_image(pixels, None, 0.0, 32))
    assert not torch.equal(batch.images, concatenate(make_data().loader("val")).images)
    assert concatenate(data.train_dataloader()).images.shape[1:] == (3, 32, 32)


def test_garments_returns_rows_with_crop_boxes(make_data: MakeData) -> None:
    annotated, whole = make_data(), make_data(crop="whole", margin=0.0)
    rows = annotated.rows("gallery")
    assert annotated.garments("gallery").table.equals(annotated.catalogue.take(rows).table)
    assert np.isnan(whole.garments("gallery").boxes).all()
    assert whole.garments("gallery").column("id").tolist() == annotated.catalogue.column("id")[rows].tolist()


def test_each_training_epoch_is_a_permutation(make_data: MakeData) -> None:
    data = make_data(batch_size=6)
    loader = data.train_dataloader()
    orders = []
    for epoch in (0, 1):
        loader.sampler.set_epoch(epoch)
        orders.append([row for batch in loader for row in batch.rows.tolist()])
        assert sorted(orders[epoch]) == data.rows("train").tolist()
    assert orders[0] != orders[1]


def test_augmentation_depends_only_on_seed_epoch_and_row(make_data: MakeData) -> None:
    all_crops = train_images(make_data(batch_size=12))
    assert len(set(all_crops.values())) == len(all_crops)
    subset = train_images(make_data(batch_size=5, samples_per_epoch=7, balanced=True))
    assert subset.items() <= all_crops.items()
    for changed in (train_images(make_data(batch_size=12), epoch=1), train_images(make_data(batch_size=12, seed=1))):
        assert changed.keys() == all_crops.keys()
        assert all(changed[row] != all_crops[row] for row in all_crops)


def test_training_crops_can_have_another_size(make_data: MakeData) -> None:
    data = make_data(image_size=32, train_image_size=24)
    assert {batch.images.shape[1:] for batch in data.train_dataloader()} == {(3, 24, 24)}
    assert {batch.images.shape[1:] for split in ("val", "gallery") for batch in data.loader(split)} == {(3, 32, 32)}
    (row,) = data.rows("train")[:1]
    augmented, plain = (next(iter(build_image_loader(data, np.array([row]), epoch))) for epoch in (1, None))
    assert (augmented.images.shape[-1], plain.images.shape[-1]) == (24, 32)


def test_workers_do_not_change_batches(make_data: MakeData) -> None:
    single_process, with_workers = make_data(), make_data(workers=2)
    for epoch in (0, 3):
        assert list(train_images(single_process, epoch).items()) == list(train_images(with_workers, epoch).items())
    one, other = concatenate(single_process.loader("gallery")), concatenate(with_workers.loader("gallery"))
    assert torch.equal(one.images, other.images)
    assert torch.equal(one.rows, other.rows)


def test_augmentation_varies_position_flip_and_brightness(make_data: MakeData) -> None:
    data = make_data(batch_size=1)
    row = int(data.rows("train")[0])
    loader = data.train_dataloader()
    crops = np.stack([loader.dataset[row, epoch][0] for epoch in range(40)]).astype(int)
    not_augmented = data.loader("train").dataset[row, 0][0].astype(int)
    assert len({crop.tobytes() for crop in crops}) == 40
    assert crops.mean(axis=(1, 2, 3)).std() > 3
    assert abs(crops.mean() - not_augmented.mean()) < 20  # the image is still recognisable


def test_half_of_the_training_crops_are_flipped(make_data: MakeData, tmp_path: Path) -> None:
    halves = np.zeros((20, 20, 3), dtype=np.uint8)
    halves[:, 10:] = 200
    rows = ""
    for number, split in enumerate(("train", "val", "query", "gallery")):
        halves[:, :10] = number  # makes the content of each image unique
        Image.fromarray(halves).save(tmp_path / f"{split}.png")
        rows += f"{number},{split}.png,{'bag' if split == 'val' else 'hat'},{split}\n"
    (tmp_path / "m.csv").write_text("id,image,category,split\n" + rows)
    dataset = make_data(root=str(tmp_path / "m.csv")).train_dataloader().dataset
    is_flipped = [dataset[0, epoch][0][:, 0].mean() > 100 for epoch in range(300)]
    assert 0.4 < np.mean(is_flipped) < 0.6


def test_a_partial_training_batch_is_dropped_unless_it_is_the_only_batch(make_data: MakeData) -> None:
    sizes = [len(batch.rows) for batch in make_data(batch_size=16).train_dataloader()]
    assert set(sizes) == {16}
    assert [len(batch.rows) for batch in make_data(samples_per_epoch=9).train_dataloader()] == [9]


def test_short_epochs_continue_after_the_last_row_of_the_previous_epoch(make_data: MakeData) -> None:
    data = make_data(samples_per_epoch=12, batch_size=12)
    loader = data.train_dataloader()
    rows_seen = []
    for epoch in range(3):
        loader.sampler.set_epoch(epoch)
        rows_seen += [row for batch in loader for row in batch.rows.tolist()]
    assert len(rows_seen) == len(set(rows_seen)) == 36


def test_balanced_epochs_contain_categories_equally_often(make_data: MakeData) -> None:
    data = make_data(balanced=True, samples_per_epoch=30, batch_size=30)
    assert torch.bincount(concatenate(data.train_dataloader()).labels).tolist() == [10, 10, 10]


def test_categories_filter_the_data(make_data: MakeData) -> None:
    data = make_data(categories=["square", "circle"])
    assert data.categories == ["circle", "square"]
    assert set(data.labels) == {0, 1}
    assert set(data.catalogue.column("category")) == {"circle", "square"}


def test_an_unknown_category_raises_with_the_names_of_the_known_categories(make_data: MakeData) -> None:
    with pytest.raises(ValueError, match=r"category='star': .*circle, cross, square"):
        _ = make_data(categories=["circle", "star"]).catalogue


@pytest.mark.parametrize("name", ["train", "val", "query", "gallery"])
def test_an_empty_split_raises(make_data: MakeData, name: str) -> None:
    ratios = {"train": 0.5, "val": 0.2, "query": 0.1, "gallery": 0.2, name: 0.0}
    data = make_data(ratios=ratios)
    with pytest.raises(ValueError, match=rf"split '{name}': .*split\.ratios\.{name}"):
        _ = data.catalogue


def test_train_can_be_the_gallery(make_data: MakeData) -> None:
    data = make_data(ratios={"train": 0.8, "val": 0.1, "query": 0.1, "gallery": 0.0}, gallery="train")
    assert data.rows("gallery").tolist() == data.rows("train").tolist()
    assert len(data.rows("train")) > 40
    assert concatenate(data.loader("gallery")).rows.tolist() == data.rows("train").tolist()


def test_street_images_are_queries_and_shop_images_are_in_the_gallery(make_data: MakeData) -> None:
    data = make_data()
    views, items = data.catalogue.column("view"), data.catalogue.column("item")
    assert set(views[data.rows("query")]) == {"street"}
    assert set(views[data.rows("gallery")]) == {"shop"}
    assert set(items[data.rows("query")]) == set(items[data.rows("gallery")])


def test_a_leak_in_the_splits_of_a_manifest_raises(make_data: MakeData, tmp_path: Path, shapes: Path) -> None:
    views = {"shop": "train", "street": "val"}
    root = write_manifest(tmp_path, shapes, split=lambda row: views[row["view"]])
    with pytest.raises(ValueError, match=r"group='circle-0': .*train and val"):
        _ = make_data(root=root).catalogue


def test_splits_of_a_manifest_are_kept_and_companions_are_in_no_split(
    make_data: MakeData, tmp_path: Path, shapes: Path
) -> None:
    names = ["train", "val", "query", "gallery"]
    root = write_manifest(
        tmp_path,
        shapes,
        split=lambda row: names[int(row["item"].split("-")[1]) % 4],
        main=lambda row: row["view"] == "shop",
    )
    data = make_data(root=root)
    assert data.catalogue.column("split").tolist() == Catalogue.open(root).column("split").tolist()
    for name in names:
        assert set(data.catalogue.column("view")[data.rows(name)]) == {"shop"}
        assert len(data.rows(name)) == 9


def test_unusable_images_are_skipped(
    make_data: MakeData, tmp_path: Path, shapes: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    root = write_manifest(
        tmp_path, shapes, image=lambda row: row["image"] if row["id"] != "cross-3-shop.png" else "no.png"
    )
    data = make_data(root=root)
    assert len(data.catalogue) == 71
    assert list(data.skipped) == ["cross-3-shop.png"]
    assert "no such file" in data.skipped["cross-3-shop.png"]
    assert sum(len(batch.rows) for batch in data.loader("train")) == len(data.rows("train"))


def test_a_box_barely_inside_its_image_is_usable_in_every_epoch(
    make_data: MakeData, tmp_path: Path, shapes: Path
) -> None:
    box = {"x1": -40, "y1": 10, "x2": 1.2, "y2": 11.1}
    root = write_manifest(
        tmp_path, shapes, **{name: lambda row, coordinate=coordinate: coordinate for name, coordinate in box.items()}
    )
    dataset = make_data(root=root).train_dataloader().dataset
    assert {dataset[0, epoch][0].shape for epoch in range(100)} == {(32, 32, 3)}


def test_unseen_categories_are_not_in_the_training_data(make_data: MakeData) -> None:
    data = make_data(unseen=["square"])
    assert data.categories == ["circle", "cross"]
    assert data.catalogue.categories == ["circle", "cross", "square"]
    for split_name, labels in (("train", {0, 1}), ("val", {0, 1}), ("query", {-1}), ("gallery", {-1})):
        assert set(concatenate(data.loader(split_name)).labels.tolist()) == labels  # type: ignore[arg-type]
    balanced = make_data(unseen=["square"], balanced=True, samples_per_epoch=30, batch_size=30)
    assert torch.bincount(concatenate(balanced.train_dataloader()).labels).tolist() == [15, 15]


def test_unseen_categories_get_a_gallery_from_published_training_data(
    make_data: MakeData, tmp_path: Path, shapes: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["train", "train", "val", "query"]
    root = write_manifest(tmp_path, shapes, split=lambda row: names[int(row["item"].split("-")[1]) % 4])
    data = make_data(root=root, unseen=["square"])
    assert {split_name: len(data.rows(split_name)) for split_name in ("train", "val", "query", "gallery")} == {
        "train": 24, "val": 12, "query": 6, "gallery": 18,
    }  # fmt: skip
    assert "No training images" not in caplog.text


def test_unseen_categories_with_train_as_gallery_raise(make_data: MakeData) -> None:
    with pytest.raises(ValueError, match=r"split\.unseen=2: .*split\.gallery=gallery"):
        make_data(unseen=2, gallery="train")


def test_unseen_categories_without_queries_raise(make_data: MakeData, tmp_path: Path, shapes: Path) -> None:
    names = ["train", "val", "query"]
    # number of splits per category; square has no queries
    split_counts = {"circle": 3, "cross": 3, "square": 2}
    root = write_manifest(
        tmp_path, shapes, split=lambda row: names[int(row["item"].split("-")[1]) % split_counts[row["category"]]]
    )
    with pytest.raises(ValueError, match=r"split 'query': .*unseen categories"):
        _ = make_data(root=root, unseen=["square"]).catalogue


@pytest.mark.parametrize("size", [1, 2, 7])
def test_both_images_of_a_pair_are_in_one_batch(make_data: MakeData, size: int) -> None:
    with pytest.raises(ValueError, match=rf"data\.batch_size={size}: "):
        make_data(batch_size=size, item_pairs=True).train_dataloader()
    for batch in make_data(batch_size=8, item_pairs=True).train_dataloader():
        assert (batch.items[::2] == batch.items[1::2]).all()
        assert not (batch.images[::2] == batch.images[1::2]).flatten(1).all(dim=1).any()
