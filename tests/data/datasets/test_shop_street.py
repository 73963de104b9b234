"""ShopStreet: documented sizes, disjoint pools, composition of images, and the image cache."""

import logging
import pickle
import resource
import signal
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fashion_lsh.data.datasets import open_dataset
from fashion_lsh.data.datasets.fashion_mnist import CATEGORIES
from fashion_lsh.data.datasets.shop_street import dataset
from fashion_lsh.data.datasets.shop_street.appearances import PATTERNS, draw_appearance, render_garment
from fashion_lsh.data.datasets.shop_street.compose import IMAGE_SIZE, Composition, Layer, compose_image
from fashion_lsh.data.datasets.shop_street.dataset import ShopStreet, compose
from fashion_lsh.data.datasets.shop_street.garments import DATA, enclosed
from fashion_lsh.data.datasets.shop_street.items import Cutout, ItemCollection

NUM_GARMENTS = 6  # train and val garments per category of a small data set


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def source(cache):
    return ShopStreet(0, cache, garments=NUM_GARMENTS)


@pytest.fixture(scope="module")
def rows(source):
    return source.catalogue().table.to_pylist()


@pytest.fixture(scope="module")
def collection():
    return ItemCollection(0)


def test_the_embedded_data_contain_7000_unique_garments():
    with np.load(DATA) as data:
        images, labels, test = data["images"], data["labels"], data["test"]
    assert images.shape == (7000, 28, 28)
    assert (np.bincount(labels[~test]) == 600).all()
    assert (np.bincount(labels[test]) == 100).all()
    assert len({image.tobytes() for image in images}) == 7000


def test_the_full_set_has_the_documented_sizes(collection):
    assert np.diff(collection.pool_bounds).tolist() == [5400, 900, 1500]
    garments = [set(collection.garment[start:stop]) for start, stop in pairwise(collection.pool_bounds)]
    assert [len(pool) for pool in garments] == [5400, 600, 1000]
    assert len(set.union(*garments)) == 7000
    assert len(set(zip(collection.garment, collection.colourway, strict=True))) == 7800


@pytest.mark.parametrize("garments", [2, 7, 20, 599])
def test_small_sets_keep_all_pools_and_categories(garments):
    small = ItemCollection(3, garments)
    for pool in range(3):
        garments_of_pool = small.garment[small.pool_bounds[pool] : small.pool_bounds[pool + 1]]
        assert set(small.labels[garments_of_pool]) == set(range(10))


def test_the_seed_changes_val_but_not_test(collection):
    other = ItemCollection(1)
    val, test = (slice(*collection.pool_bounds[pool : pool + 2]) for pool in (1, 2))
    assert set(collection.garment[val]) != set(other.garment[val])
    assert set(collection.garment[test]) == set(other.garment[test])


def test_a_composed_image_equals_the_cached_image(source, rows):
    for number in (0, 1, 2, 33, source.count - 2, source.count - 1):
        pixels, image_rows = compose(0, NUM_GARMENTS, [number])
        assert (pixels[0] == source.image(f"{number:05d}")).all()
        assert [row | {"supercategory": ""} for row in image_rows] == [
            row for row in rows if row["image"] == f"{number:05d}"
        ]


def test_every_item_has_a_shop_and_a_street_image(source, rows):
    splits = {}
    for row in rows:
        if row["main"]:
            splits.setdefault(row["item"], {})[row["view"]] = row["split"]
    assert 2 * len(splits) == source.count == len({row["image"] for row in rows})
    expected_splits = [("train", "train"), ("val", "val"), ("gallery", "query")]
    assert {(pair["shop"], pair["street"]) for pair in splits.values()} == set(expected_splits)


def test_no_garment_is_in_two_pools(rows):
    split_pools = {"train": "train", "val": "val", "query": "test", "gallery": "test"}
    garment_pools = {}
    for row in rows:
        garment_pools.setdefault(row["group"], set()).add(split_pools[row["split"]])
    assert {len(pools) for pools in garment_pools.values()} == {1}


def test_each_item_has_only_one_garment_and_category(rows):
    item_garments = {}
    for row in rows:
        assert item_garments.setdefault(row["item"], (row["group"], row["category"])) == (row["group"], row["category"])
    assert {row["category"] for row in rows} == set(CATEGORIES)


def test_street_images_have_one_to_three_smaller_companions(rows):
    rows_by_image = {}
    for row in rows:
        rows_by_image.setdefault(row["image"], []).append(row)
    counts = set()
    for main, *companions in rows_by_image.values():
        assert main["main"]
        assert not any(row["main"] for row in companions)
        assert len({row["group"] for row in [main, *companions]}) == 1 + len(companions)
        assert {row["split"] for row in companions} <= {main["split"]}
        assert all(area(row) < area(main) for row in companions)
        counts.add((main["view"], len(companions)))
    assert counts == {("shop", 0), ("street", 1), ("street", 2), ("street", 3)}


def area(row):
    return (row["x2"] - row["x1"]) * (row["y2"] - row["y1"])


def test_shop_boxes_are_tight(source, rows):
    for row in [row for row in rows if row["view"] == "shop"][::3]:
        pixels = source.image(row["image"]).astype(int)
        contrast = np.abs(pixels - pixels[0, 0]).sum(axis=2)
        box = [row[name] for name in ("x1", "y1", "x2", "y2")]
        outer, inner = bounding_box(contrast > 6), bounding_box(contrast > 150)
        assert all(-2.5 <= side - expected <= 2.5 for side, expected in zip(box, outer, strict=True))
        assert box[0] <= inner[0] + 1
        assert box[3] >= inner[3] - 1


def bounding_box(mask):
    rows, columns = np.nonzero(mask)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_composition_equals_pixelwise_compositing_and_respects_min_visible(seed):
    rng = np.random.default_rng(seed)
    composition, order = Composition(), []
    for _ in range(6):
        height, width = rng.integers(8, 60, 2)
        cutout = Cutout(
            rng.uniform(0, 255, (height, width, 3)).astype(np.float32),
            rng.integers(0, 3, (height, width)).astype(np.float32) / 2,
        )
        left, top = (int(offset) for offset in rng.integers(-10, 60, 2))
        layer, front = (
            Layer(cutout, left, top, min_visible=0.3, min_core_visible=0.5 if not order else 0.0),
            bool(rng.integers(2)),
        )
        if composition.add(layer, front):
            order.insert(len(order) if front else 0, (layer, cutout, left, top))
    background = rng.uniform(0, 255, (IMAGE_SIZE, IMAGE_SIZE, 3)).astype(np.float32)
    expected, visibilities = composite_slowly(background, order)
    np.testing.assert_allclose(composition.render(background), expected, atol=0.01)
    for (layer, cutout, _, _), visibility in zip(order, visibilities, strict=True):
        np.testing.assert_allclose(layer.visibility, visibility, atol=1e-5)
        assert visibility.sum() >= 0.3 * cutout.alpha.sum() - 0.01
        if (visibility >= 0.5).any():
            assert layer.box.tolist() == list(bounding_box(layer.visibility >= 0.5))


def composite_slowly(background, order):
    """Composite layers pixel by pixel; return the image and the visibility of each layer."""
    canvas, visibilities = background.astype(float), []
    for _, cutout, left, top in order:
        alpha = np.zeros((IMAGE_SIZE, IMAGE_SIZE))
        colours = np.zeros((IMAGE_SIZE, IMAGE_SIZE, 3))
        for y, x in np.ndindex(cutout.alpha.shape):
            if 0 <= y + top < IMAGE_SIZE and 0 <= x + left < IMAGE_SIZE:
                alpha[y + top, x + left], colours[y + top, x + left] = cutout.alpha[y, x], cutout.colours[y, x]
        canvas = canvas * (1 - alpha[:, :, None]) + colours * alpha[:, :, None]
        visibilities = [below * (1 - alpha) for below in visibilities] + [alpha]
    return canvas, visibilities


def test_colourways_share_the_pattern_and_differ_in_colour(collection):
    start, stop = collection.pool_bounds[2:]
    second_colourways = [item for item in range(start, stop) if collection.colourway[item] == 1]
    assert len(second_colourways) == 500
    for item in second_colourways[::10]:
        appearances = collection.appearance(item - 1), collection.appearance(item)
        assert collection.garment[item - 1] == collection.garment[item]
        assert appearances[0].pattern == appearances[1].pattern
        assert np.abs(appearances[0].colour - appearances[1].colour).sum() > 60


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_mix_two_colours_and_keep_the_shading(pattern):
    appearances = (draw_appearance(np.random.default_rng(seed), 0) for seed in range(1000))
    appearance = next(candidate for candidate in appearances if candidate.pattern == pattern)
    for side in (12, 47, 90):
        weight = PATTERNS[pattern](appearance, side)
        assert weight.shape == (side, side)
        assert weight.min() >= 0
        assert weight.max() <= 1
        assert (weight.max() > 0.5) == (pattern != "plain")
        opaque = np.full((28, 28), 255, np.uint8)
        dark, light = (
            render_garment(np.full((28, 28), grey, np.uint8), opaque, appearance, side) for grey in (40, 220)
        )
        assert (light[:, :, :3].astype(int).sum(axis=2) > dark[:, :, :3].astype(int).sum(axis=2)).all()


@given(arrays(bool, (3, 7, 6)))
@settings(max_examples=50, deadline=None)
def test_enclosed_equals_a_flood_fill(foreground):
    assert (enclosed(foreground) == np.stack([flood_fill(image) for image in foreground])).all()


def flood_fill(foreground):
    height, width = foreground.shape
    reached = set()
    queue = [(y, x) for y in range(height) for x in range(width) if y in (0, height - 1) or x in (0, width - 1)]
    while queue:
        y, x = queue.pop()
        if 0 <= y < height and 0 <= x < width and not foreground[y, x] and (y, x) not in reached:
            reached.add((y, x))
            queue += [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
    return np.array([[(y, x) not in reached for x in range(width)] for y in range(height)])


def test_the_main_garment_is_inside_the_street_image(collection):
    for image in range(12601, 12701, 10):
        composed = compose_image(collection, image)
        x1, y1, x2, y2 = composed.boxes[0]
        assert composed.items[0] == image // 2
        assert (x2 - x1) * (y2 - y1) > 1000
        assert min(x1, y1) >= 0
        assert max(x2, y2) <= IMAGE_SIZE


def test_the_number_of_processes_does_not_change_images(tmp_path, monkeypatch, source):
    monkeypatch.setattr(dataset, "CHUNK", 70)
    monkeypatch.setattr(dataset.os, "sched_getaffinity", lambda process: {0, 1})
    recomposed = ShopStreet(0, str(tmp_path), garments=NUM_GARMENTS)
    assert recomposed.catalogue().checksum == source.catalogue().checksum
    assert (recomposed.folder / "images.npy").read_bytes() == (source.folder / "images.npy").read_bytes()
    assert ShopStreet(1, str(tmp_path), garments=NUM_GARMENTS).folder != recomposed.folder
    assert (compose(1, NUM_GARMENTS, [1])[0] != compose(0, NUM_GARMENTS, [1])[0]).any()


def test_the_cache_is_composed_once(cache, source, monkeypatch, caplog, tmp_path):
    with caplog.at_level(logging.INFO):
        ShopStreet(0, str(tmp_path), garments=2).catalogue()
    assert [record.message for record in caplog.records if "Composing" in record.message] == caplog.messages
    assert str(tmp_path) in caplog.text
    source.catalogue()
    monkeypatch.setattr(dataset, "compose", None)
    assert len(ShopStreet(0, cache, garments=NUM_GARMENTS).catalogue()) > source.count


CORRUPTIONS = {
    "images truncated": ("images.npy", lambda content: content[:-1]),
    "images extended": ("images.npy", lambda content: content + b"\0"),
    "images replaced": ("images.npy", lambda content: b"no images"),
    "images empty": ("images.npy", lambda content: b""),
    "catalogue truncated": ("catalogue.parquet", lambda content: content[:-100]),
    "catalogue empty": ("catalogue.parquet", lambda content: b""),
}


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_a_damaged_cache_is_rebuilt(tmp_path, corruption):
    first = ShopStreet(0, str(tmp_path), garments=2)
    checksum, image = first.catalogue().checksum, first.image("00001")
    name, corrupt = CORRUPTIONS[corruption]
    path = first.folder / name
    content = path.read_bytes()
    path.unlink()  # the memory map of `first` still refers to the old file
    path.write_bytes(corrupt(content))
    recomposed = ShopStreet(0, str(tmp_path), garments=2)
    assert recomposed.catalogue().checksum == checksum
    assert (recomposed.image("00001") == image).all()
    assert path.read_bytes()[:1000] == content[:1000]
    assert len(path.read_bytes()) == len(content)


def test_an_interrupted_composition_leaves_no_files(tmp_path, monkeypatch):
    original_compose, composed = dataset.compose_image, []

    def interrupt(collection, image):
        composed.append(image)
        if len(composed) > 20:
            raise KeyboardInterrupt
        return original_compose(collection, image)

    monkeypatch.setattr(dataset, "compose_image", interrupt)
    source = ShopStreet(0, str(tmp_path), garments=2)
    with pytest.raises(KeyboardInterrupt):
        source.image("00000")
    assert list(source.folder.iterdir()) == []


def test_a_full_disk_raises_and_leaves_no_files(tmp_path):
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        message = pool.submit(open_on_a_full_disk, str(tmp_path)).result()
    assert "images.npy could not be written" in message
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def open_on_a_full_disk(cache):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (500_000, 500_000)
    )  # maximum file size in bytes, which simulates a full disk
    try:
        ShopStreet(0, cache, garments=2).catalogue()
    except OSError as error:
        return str(error)


def test_concurrent_composition_is_consistent(tmp_path):
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        checksums = set(pool.map(open_catalogue, [str(tmp_path)] * 2))
    source = ShopStreet(0, str(tmp_path), garments=2)
    assert checksums == {source.catalogue().checksum}
    folder = source.folder
    assert sorted(path.name for path in folder.iterdir()) == ["catalogue.parquet", "images.npy"]


def open_catalogue(cache):
    return ShopStreet(0, cache, garments=2).catalogue().checksum


def test_a_pickled_source_contains_no_pixels(source):
    image = source.image("00003")
    pickled = pickle.dumps(source)
    assert len(pickled) < 1000
    assert (pickle.loads(pickled).image("00003") == image).all()


def test_image_returns_a_copy(source):
    image = source.image("00003")
    assert image.shape == (96, 96, 3)
    assert image.dtype == np.uint8
    before = image.copy()
    image[:] = 0
    assert (source.image("00003") == before).all()


@pytest.mark.parametrize("key", ["99999", "-1", "", "item-00001-shop", "³"])
def test_an_unknown_image_raises(source, key):
    with pytest.raises(KeyError, match="unknown shop_street image"):
        source.image(key)


@pytest.mark.parametrize("arguments", [{"seed": -1}, {"garments": 1}, {"garments": 601}])
def test_arguments_out_of_range_raise(tmp_path, arguments):
    with pytest.raises(ValueError, match=f"{next(iter(arguments))}="):
        ShopStreet(cache=str(tmp_path), **arguments)


def test_the_cache_is_in_the_users_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert ShopStreet(garments=2).folder.parent == tmp_path / "fashion_lsh"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert ShopStreet(garments=2).folder.parent == tmp_path / ".cache" / "fashion_lsh"


def test_a_folder_of_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"data\.root='{tmp_path}'.*data=folder"):
        open_dataset("shop_street", str(tmp_path))
