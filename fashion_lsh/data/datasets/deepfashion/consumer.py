"""DeepFashion's benchmark of street pictures that ask for a shop's pictures."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets.deepfashion import files as files
from fashion_lsh.data.datasets.deepfashion.files import LICENCE, Reasons
from fashion_lsh.data.datasets.deepfashion.images import on_disk
from fashion_lsh.data.datasets.image_files import SPLIT_WORDS, Expected, PictureFiles, Published
from fashion_lsh.data.image_scan import FIRST
from fashion_lsh.data.schema import box_of

log = logging.getLogger(__name__)

Gallery = Literal["test", "val_test"]

PAIRS = ("image_pair_name_1", "image_pair_name_2", "item_id", "evaluation_status")  # consumer, shop
BOXES = ("image_name", "clothes_type", "source_type", "x_1", "y_1", "x_2", "y_2")
VIEWS = {"comsumer": "street", "consumer": "street", "shop": "shop"}  # by a file's name; the first is the data's own
SOURCES = {"1": "shop", "2": "street"}  # by source_type


class Paired(NamedTuple):
    """What the pairs say of a picture."""

    item: str
    split: str
    view: str


class DeepFashionConsumer(PictureFiles):
    """A garment a picture, of `Anno`, `Eval` and `Img`; a picture of many pairs is taken once.

    A category is `<TOP>/<folder>/<upper|lower|full>`, as `TOPS/T_Shirt/upper`. Consumers' pictures have view `street`.
    Of pairs of test the consumers' pictures ask and the shops' are searched.

    Args:
        root: folder of this benchmark.
        gallery: whose shop pictures are searched: those of `test`, as the benchmark's own text has it, or of val and
            test, `val_test`, as a later guide has it. Items of val are then in the gallery, too (`split.leaks`).
    """

    licence = LICENCE
    expected = (
        Expected("[Ii]mg*", "the pictures, as Img/img/TOPS/T_Shirt/id_00000001/shop_01.jpg"),
        Expected("Eval/list_eval_partition.txt", "pairs of pictures, their item, and train, val or test"),
        Expected("Anno/list_bbox_consumer2shop.txt", "box, type of clothes and source of each picture"),
        Expected("Anno/list_item_consumer2shop.txt", "the items", needed=False),
    )
    published = Published({"all": 239_557}, "pictures")

    def __init__(self, root: str, gallery: Gallery = "test") -> None:
        super().__init__(root)
        if gallery not in get_args(Gallery):
            raise ValueError(f"{gallery=} is unknown: give test or val_test")
        self.gallery = gallery

    def listed(self) -> tuple[Catalogue, Reasons]:
        rows, bad_pairs = files.read_rows(files.find(self.root, "list_eval_partition.txt", "Eval"), PAIRS)
        boxes = files.read_table(files.find(self.root, "list_bbox_consumer2shop.txt", "Anno"), BOXES)
        log.info("gallery=%s: searched are the shop pictures of %s", self.gallery, self.gallery.replace("_", " and "))
        seen, bad = pictures_of(rows, self.gallery)
        files.check_items(self.root / "Anno" / "list_item_consumer2shop.txt", {each.item for each in seen.values()})
        pairs = files.Table({path: tuple(each) for path, each in seen.items()}, bad)
        paths, left_out = files.joined({"list_eval_partition.txt": pairs, "list_bbox_consumer2shop.txt": boxes})
        left_out |= {f"a pair of {path}" if path in seen else path: why for path, why in bad_pairs.items()}
        _check_views({path: boxes.rows[path][1] for path in paths}, seen)
        places, gone = on_disk(self.root, paths)
        garments = ((path, _row(path, place, seen[path], boxes.rows[path])) for path, place in places.items())
        return files.gathered(garments, left_out | gone)


def pictures_of(pairs: Sequence[Sequence[str]], gallery: Gallery) -> tuple[dict[str, Paired], Reasons]:
    """Each picture of the pairs once; and those whose pairs contradict each other, or have a split that is unknown.

    A picture in pairs of several splits stays with the one that tests, and such are counted in the log.
    """
    seen: dict[str, Paired] = {}
    bad: Reasons = {}
    moved = set()
    for consumer, shop, item, status in pairs:
        published = SPLIT_WORDS.get(status.lower())
        for path, column in ((consumer, "street"), (shop, "shop")):
            if published is None:
                bad[path] = f"a pair of it has the unknown split {status!r}"
                continue
            view = VIEWS.get(path.rpartition("/")[2].partition("_")[0].lower(), column)
            new = Paired(item, _split(published, view, gallery), view)
            old = seen.setdefault(path, new)
            if old.item != item:
                bad[path] = f"it stands in pairs of two items, {old.item} and {item}"
            if old.split != new.split:
                moved.add(path)
                seen[path] = min(old, new, key=lambda each: FIRST.index(each.split))
    if moved:
        log.warning("%d pictures are in pairs of several splits: they stay with the one that tests", len(moved))
    return {path: each for path, each in seen.items() if path not in bad}, bad


def _split(published: str, view: str, gallery: Gallery) -> str:
    searched = published == "query" or (published == "val" and gallery == "val_test")
    return "gallery" if searched and view == "shop" else published


def _check_views(sources: Mapping[str, str], seen: Mapping[str, Paired]) -> None:
    other = [path for path, source in sources.items() if SOURCES.get(source.lstrip("0")) != seen[path].view]
    if other:
        log.warning(
            "%d pictures have a source_type (1 shop, 2 consumer) that does not fit their name, the first is %s: the "
            "name counts", len(other), other[0],
        )  # fmt: skip


def _row(path: str, place: str, seen: Paired, garment: Sequence[str]) -> Mapping[str, Any] | str:
    """The columns of a garment, or why it is of no use."""
    kind, _, *sides = garment
    category, box = files.category_of(path, kind), box_of(sides)
    if category is None:
        return f"its clothes_type {kind!r} is none of 1, 2, 3, or it does not lie in img/<top>/<folder>/<item>"
    if box is None:
        return f"its box {' '.join(sides)} is no box with an area"
    return {
        "picture": place, "category": category, "supercategory": files.kind_of(kind), "item": seen.item, "group": "",
        "split": seen.split, "view": seen.view, "source": "deepfashion_consumer", "box": box,
    }  # fmt: skip
