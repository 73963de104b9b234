import logging
import pickle
import resource
import signal
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fashion_lsh.data.datasets.fashion_mnist import CATEGORIES
from fashion_lsh.data.datasets.shop_street import dataset
from fashion_lsh.data.datasets.shop_street.compose import SIDE, Composition, Layer, draw
from fashion_lsh.data.datasets.shop_street.dataset import ShopStreet, compose
from fashion_lsh.data.datasets.shop_street.garments import DATA, enclosed
from fashion_lsh.data.datasets.shop_street.items import Cutout, Wardrobe
from fashion_lsh.data.datasets.shop_street.looks import PATTERNS, draw_look, dressed

SMALL = 6  # train garments a category


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def source(cache):
    return ShopStreet(0, cache, garments=SMALL)


@pytest.fixture(scope="module")
def rows(source):
    return source.catalogue().table.to_pylist()


@pytest.fixture(scope="module")
def wardrobe():
    return Wardrobe(0)


def test_embedded_data_are_seven_thousand_different_garments():
    with np.load(DATA) as data:
        images, labels, test = data["images"], data["labels"], data["test"]
    assert images.shape == (7000, 28, 28)
    assert (np.bincount(labels[~test]) == 600).all()
    assert (np.bincount(labels[test]) == 100).all()
    assert len({image.tobytes() for image in images}) == 7000


def test_whole_set_has_the_stated_sizes(wardrobe):
    assert np.diff(wardrobe.edges).tolist() == [5400, 900, 1500]
    garments = [set(wardrobe.garment[start:stop]) for start, stop in pairwise(wardrobe.edges)]
    assert [len(pool) for pool in garments] == [5400, 600, 1000]
    assert len(set.union(*garments)) == 7000
    assert len(set(zip(wardrobe.garment, wardrobe.colourway, strict=True))) == 7800


@pytest.mark.parametrize("garments", [2, 7, 20, 599])
def test_small_sets_keep_all_pools_and_categories(garments):
    small = Wardrobe(3, garments)
    for pool in range(3):
        shown = small.garment[small.edges[pool] : small.edges[pool + 1]]
        assert set(small.labels[shown]) == set(range(10))


def test_another_seed_validates_on_other_garments_and_tests_on_the_same(wardrobe):
    other = Wardrobe(1)
    val, test = (slice(*wardrobe.edges[place : place + 2]) for place in (1, 2))
    assert set(wardrobe.garment[val]) != set(other.garment[val])
    assert set(wardrobe.garment[test]) == set(other.garment[test])


def test_picture_composed_alone_equals_the_cached_one(source, rows):
    for number in (0, 1, 2, 33, source.count - 2, source.count - 1):
        pixels, described = compose(0, SMALL, [number])
        assert (pixels[0] == source.picture(f"{number:05d}")).all()
        assert [row | {"supercategory": ""} for row in described] == [
            row for row in rows if row["picture"] == f"{number:05d}"
        ]


def test_every_item_has_a_shop_and_a_street_picture_in_its_splits(source, rows):
    splits = {}
    for row in rows:
        if row["main"]:
            splits.setdefault(row["item"], {})[row["view"]] = row["split"]
    assert 2 * len(splits) == source.count == len({row["picture"] for row in rows})
    kinds = [("train", "train"), ("val", "val"), ("gallery", "query")]
    assert {(pair["shop"], pair["street"]) for pair in splits.values()} == set(kinds)


def test_no_garment_is_in_two_pools_not_even_as_a_companion(rows):
    pool = {"train": "train", "val": "val", "query": "test", "gallery": "test"}
    pools = {}
    for row in rows:
        pools.setdefault(row["group"], set()).add(pool[row["split"]])
    assert {len(found) for found in pools.values()} == {1}


def test_item_means_one_garment_and_category_everywhere(rows):
    known = {}
    for row in rows:
        assert known.setdefault(row["item"], (row["group"], row["category"])) == (row["group"], row["category"])
    assert {row["category"] for row in rows} == set(CATEGORIES)


def test_street_has_one_to_three_smaller_companions_of_other_garments(rows):
    pictures = {}
    for row in rows:
        pictures.setdefault(row["picture"], []).append(row)
    counts = set()
    for own, *others in pictures.values():
        assert own["main"]
        assert not any(row["main"] for row in others)
        assert len({row["group"] for row in [own, *others]}) == 1 + len(others)
        assert {row["split"] for row in others} <= {own["split"]}
        assert all(area(row) < area(own) for row in others)
        counts.add((own["view"], len(others)))
    assert counts == {("shop", 0), ("street", 1), ("street", 2), ("street", 3)}


def area(row):
    return (row["x2"] - row["x1"]) * (row["y2"] - row["y1"])


def test_shop_boxes_are_tight_around_what_differs_from_the_paper(source, rows):
    for row in [row for row in rows if row["view"] == "shop"][::3]:
        pixels = source.picture(row["picture"]).astype(int)
        faint = np.abs(pixels - pixels[0, 0]).sum(axis=2) > 6
        strong = np.abs(pixels - pixels[0, 0]).sum(axis=2) > 150
        box = [row[name] for name in ("x1", "y1", "x2", "y2")]
        outer, inner = tight(faint), tight(strong)
        assert all(-2.5 <= mine - theirs <= 2.5 for mine, theirs in zip(box, outer, strict=True))
        assert box[0] <= inner[0] + 1
        assert box[3] >= inner[3] - 1


def tight(seen):
    rows, columns = np.nonzero(seen)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_scene_equals_painting_back_to_front_and_hides_nothing_too_much(seed):
    rng = np.random.default_rng(seed)
    scene, order = Composition(), []
    for _ in range(6):
        height, width = rng.integers(8, 60, 2)
        cutout = Cutout(
            rng.uniform(0, 255, (height, width, 3)).astype(np.float32),
            rng.integers(0, 3, (height, width)).astype(np.float32) / 2,
        )
        left, top = (int(place) for place in rng.integers(-10, 60, 2))
        layer, front = Layer(cutout, left, top, least=0.3, middle=0.5 if not order else 0.0), bool(rng.integers(2))
        if scene.put(layer, front):
            order.insert(len(order) if front else 0, (layer, cutout, left, top))
    background = rng.uniform(0, 255, (SIDE, SIDE, 3)).astype(np.float32)
    painted, hidden = painted_slowly(background, order)
    np.testing.assert_allclose(scene.over(background), painted, atol=0.01)
    for (layer, cutout, _, _), shows in zip(order, hidden, strict=True):
        np.testing.assert_allclose(layer.shows, shows, atol=1e-5)
        assert shows.sum() >= 0.3 * cutout.cover.sum() - 0.01
        if (shows >= 0.5).any():
            assert layer.box.tolist() == list(tight(layer.shows >= 0.5))


def painted_slowly(background, order):
    """The picture painted layer by layer, and what of each layer is left at the end."""
    canvas, shows = background.astype(float), []
    for _, cutout, left, top in order:
        cover = np.zeros((SIDE, SIDE))
        colours = np.zeros((SIDE, SIDE, 3))
        for y, x in np.ndindex(cutout.cover.shape):
            if 0 <= y + top < SIDE and 0 <= x + left < SIDE:
                cover[y + top, x + left], colours[y + top, x + left] = cutout.cover[y, x], cutout.colours[y, x]
        canvas = canvas * (1 - cover[:, :, None]) + colours * cover[:, :, None]
        shows = [below * (1 - cover) for below in shows] + [cover]
    return canvas, shows


def test_colourways_share_the_pattern_and_differ_in_colour(wardrobe):
    start, stop = wardrobe.edges[2:]
    second = [item for item in range(start, stop) if wardrobe.colourway[item] == 1]
    assert len(second) == 500
    for item in second[::10]:
        looks = wardrobe.look(item - 1), wardrobe.look(item)
        assert wardrobe.garment[item - 1] == wardrobe.garment[item]
        assert looks[0].pattern == looks[1].pattern
        assert np.abs(looks[0].colour - looks[1].colour).sum() > 60


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_mix_two_colours_and_leave_the_shading(pattern):
    found = (draw_look(np.random.default_rng(seed), 0) for seed in range(1000))
    look = next(look for look in found if look.pattern == pattern)
    for side in (12, 47, 90):
        weight = PATTERNS[pattern](look, side)
        assert weight.shape == (side, side)
        assert weight.min() >= 0
        assert weight.max() <= 1
        assert (weight.max() > 0.5) == (pattern != "plain")
        whole = np.full((28, 28), 255, np.uint8)
        dark, light = (dressed(np.full((28, 28), grey, np.uint8), whole, look, side) for grey in (40, 220))
        assert (light[:, :, :3].astype(int).sum(axis=2) > dark[:, :, :3].astype(int).sum(axis=2)).all()


@given(arrays(bool, (3, 7, 6)))
@settings(max_examples=50, deadline=None)
def test_enclosed_equals_a_flood_from_the_border(lit):
    assert (enclosed(lit) == np.stack([enclosed_slowly(picture) for picture in lit])).all()


def enclosed_slowly(lit):
    height, width = lit.shape
    reached = set()
    waiting = [(y, x) for y in range(height) for x in range(width) if y in (0, height - 1) or x in (0, width - 1)]
    while waiting:
        y, x = waiting.pop()
        if 0 <= y < height and 0 <= x < width and not lit[y, x] and (y, x) not in reached:
            reached.add((y, x))
            waiting += [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
    return np.array([[(y, x) not in reached for x in range(width)] for y in range(height)])


def test_main_garment_shows_in_the_middle_of_the_street(wardrobe):
    for picture in range(12601, 12701, 10):
        drawn = draw(wardrobe, picture)
        x1, y1, x2, y2 = drawn.boxes[0]
        assert drawn.items[0] == picture // 2
        assert (x2 - x1) * (y2 - y1) > 1000
        assert min(x1, y1) >= 0
        assert max(x2, y2) <= SIDE


def test_number_of_processes_and_seeds(tmp_path, monkeypatch, source):
    monkeypatch.setattr(dataset, "CHUNK", 70)
    monkeypatch.setattr(dataset.os, "sched_getaffinity", lambda process: {0, 1})
    again = ShopStreet(0, str(tmp_path), garments=SMALL)
    assert again.catalogue().checksum == source.catalogue().checksum
    assert (again.folder / "pictures.npy").read_bytes() == (source.folder / "pictures.npy").read_bytes()
    assert ShopStreet(1, str(tmp_path), garments=SMALL).folder != again.folder
    assert (compose(1, SMALL, [1])[0] != compose(0, SMALL, [1])[0]).any()


def test_cache_is_composed_once_and_says_so_in_one_line(cache, source, monkeypatch, caplog, tmp_path):
    with caplog.at_level(logging.INFO):
        ShopStreet(0, str(tmp_path), garments=2).catalogue()
    assert [record.message for record in caplog.records if "composing" in record.message] == caplog.messages
    assert str(tmp_path) in caplog.text
    source.catalogue()
    monkeypatch.setattr(dataset, "compose", None)
    assert len(ShopStreet(0, cache, garments=SMALL).catalogue()) > source.count


DAMAGE = {
    "pictures cut": ("pictures.npy", lambda content: content[:-1]),
    "pictures longer": ("pictures.npy", lambda content: content + b"\0"),
    "pictures other": ("pictures.npy", lambda content: b"no pictures"),
    "pictures empty": ("pictures.npy", lambda content: b""),
    "catalogue cut": ("catalogue.parquet", lambda content: content[:-100]),
    "catalogue empty": ("catalogue.parquet", lambda content: b""),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_cache_is_composed_again(tmp_path, damage):
    first = ShopStreet(0, str(tmp_path), garments=2)
    checksum, picture = first.catalogue().checksum, first.picture("00001")
    name, break_it = DAMAGE[damage]
    path = first.folder / name
    content = path.read_bytes()
    path.unlink()  # the open map keeps the old file
    path.write_bytes(break_it(content))
    again = ShopStreet(0, str(tmp_path), garments=2)
    assert again.catalogue().checksum == checksum
    assert (again.picture("00001") == picture).all()
    assert path.read_bytes()[:1000] == content[:1000]
    assert len(path.read_bytes()) == len(content)


def test_interrupted_composing_leaves_nothing(tmp_path, monkeypatch):
    real, drawn = dataset.draw, []

    def fails(wardrobe, picture):
        drawn.append(picture)
        if len(drawn) > 20:
            raise KeyboardInterrupt
        return real(wardrobe, picture)

    monkeypatch.setattr(dataset, "draw", fails)
    source = ShopStreet(0, str(tmp_path), garments=2)
    with pytest.raises(KeyboardInterrupt):
        source.picture("00000")
    assert list(source.folder.iterdir()) == []


def test_full_disk_is_told_and_leaves_nothing(tmp_path):
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        message = pool.submit(opened_on_a_full_disk, str(tmp_path)).result()
    assert "pictures.npy could not be written" in message
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def opened_on_a_full_disk(cache):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))  # bytes a file may have: stands for the disk's end
    try:
        ShopStreet(0, cache, garments=2).catalogue()
    except OSError as error:
        return str(error)


def test_two_processes_composing_at_once_agree(tmp_path):
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        checksums = set(pool.map(opened, [str(tmp_path)] * 2))
    source = ShopStreet(0, str(tmp_path), garments=2)
    assert checksums == {source.catalogue().checksum}
    folder = source.folder
    assert sorted(path.name for path in folder.iterdir()) == ["catalogue.parquet", "pictures.npy"]


def opened(cache):
    return ShopStreet(0, cache, garments=2).catalogue().checksum


def test_travels_without_its_pixels(source):
    picture = source.picture("00003")
    carried = pickle.dumps(source)
    assert len(carried) < 1000
    assert (pickle.loads(carried).picture("00003") == picture).all()


def test_picture_is_the_callers_own(source):
    picture = source.picture("00003")
    assert picture.shape == (96, 96, 3)
    assert picture.dtype == np.uint8
    before = picture.copy()
    picture[:] = 0
    assert (source.picture("00003") == before).all()


@pytest.mark.parametrize("key", ["99999", "-1", "", "item-00001-shop", "³"])
def test_unknown_picture_is_refused(source, key):
    with pytest.raises(KeyError, match="no picture"):
        source.picture(key)


@pytest.mark.parametrize("arguments", [{"seed": -1}, {"garments": 1}, {"garments": 601}])
def test_impossible_sets_are_refused(tmp_path, arguments):
    with pytest.raises(ValueError, match=f"{next(iter(arguments))}="):
        ShopStreet(cache=str(tmp_path), **arguments)


def test_cache_is_below_the_users_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert ShopStreet(garments=2).folder.parent == tmp_path / "fashion_lsh"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert ShopStreet(garments=2).folder.parent == tmp_path / ".cache" / "fashion_lsh"
