"""DeepFashion consumer-to-shop retrieval: consumers' street images as queries, shop images as gallery."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets.deepfashion import files as files
from fashion_lsh.data.datasets.deepfashion.files import LICENCE, Reasons
from fashion_lsh.data.datasets.deepfashion.image_paths import find_images
from fashion_lsh.data.datasets.image_files import SPLIT_ALIASES, ExpectedFile, ImageFiles, PublishedCounts
from fashion_lsh.data.image_scan import SPLIT_PRIORITY
from fashion_lsh.data.schema import parse_box

log = logging.getLogger(__name__)

GalleryChoice = Literal["test", "val_test"]

PAIR_COLUMNS = ("image_pair_name_1", "image_pair_name_2", "item_id", "evaluation_status")  # consumer image, shop image
BBOX_COLUMNS = ("image_name", "clothes_type", "source_type", "x_1", "y_1", "x_2", "y_2")
VIEW_PREFIXES = {
    "comsumer": "street",
    "consumer": "street",
    "shop": "shop",
}  # prefix of the file name -> view; the data set contains the spelling "comsumer"
SOURCE_TYPES = {"1": "shop", "2": "street"}  # source_type -> view


class PairRecord(NamedTuple):
    """Item, split and view of an image, derived from the pairs of the image."""

    item: str
    split: str
    view: str


class DeepFashionConsumer(ImageFiles):
    """Consumer-to-shop benchmark: one garment per image, and one row per image even if several pairs list the image.

    The category is `<TOP>/<folder>/<upper|lower|full>`, for example `TOPS/T_Shirt/upper`. Consumers' images have view
    `street`. Of test pairs, consumers' images are queries and shop images form the gallery.

    Args:
        root: Folder of this benchmark.
        gallery: Splits whose shop images form the gallery: `test`, as in the benchmark's README, or `val_test`, as in
            a later guide. With `val_test`, items of val are also in the gallery (see `split.leaks`).
    """

    licence = LICENCE
    expected = (
        ExpectedFile("[Ii]mg*/", "images, as Img/img/TOPS/T_Shirt/id_00000001/shop_01.jpg"),
        ExpectedFile("Eval/list_eval_partition.txt", "image pairs with item and split: train, val or test"),
        ExpectedFile("Anno/list_bbox_consumer2shop.txt", "box, clothes type and source of each image"),
        ExpectedFile("Anno/list_item_consumer2shop.txt", "list of items", required=False),
    )
    published = PublishedCounts({"all": 239_557}, "images")

    def __init__(self, root: str, gallery: GalleryChoice = "test") -> None:
        super().__init__(root)
        if gallery not in get_args(GalleryChoice):
            raise ValueError(f"{gallery=} is unknown; use test or val_test")
        self.gallery = gallery

    def list_garments(self) -> tuple[Catalogue, Reasons]:
        rows, bad_pairs = files.read_rows(files.find_file(self.root, "list_eval_partition.txt", "Eval"), PAIR_COLUMNS)
        boxes = files.read_table(files.find_file(self.root, "list_bbox_consumer2shop.txt", "Anno"), BBOX_COLUMNS)
        log.info("gallery=%s: using the shop images of %s", self.gallery, self.gallery.replace("_", " and "))
        records, bad_images = records_from_pairs(rows, self.gallery)
        files.check_items(
            self.root / "Anno" / "list_item_consumer2shop.txt", {record.item for record in records.values()}
        )
        pairs = files.Table({path: tuple(record) for path, record in records.items()}, bad_images)
        paths, skipped = files.inner_join({"list_eval_partition.txt": pairs, "list_bbox_consumer2shop.txt": boxes})
        skipped |= {f"pair of {path}" if path in records else path: reason for path, reason in bad_pairs.items()}
        _warn_source_types({path: boxes.rows[path][1] for path in paths}, records)
        locations, missing = find_images(self.root, paths)
        garments = (
            (path, _row(path, location, records[path], boxes.rows[path])) for path, location in locations.items()
        )
        return files.build_catalogue(garments, skipped | missing)


def records_from_pairs(pairs: Sequence[Sequence[str]], gallery: GalleryChoice) -> tuple[dict[str, PairRecord], Reasons]:
    """Return one record per image, and reasons for images with contradictory pairs or an unknown split.

    An image in pairs of several splits is assigned to the first of these splits in SPLIT_PRIORITY; the log counts such
    images.
    """
    records: dict[str, PairRecord] = {}
    bad_images: Reasons = {}
    in_several_splits = set()
    for consumer, shop, item, status in pairs:
        published = SPLIT_ALIASES.get(status.lower())
        for path, column in ((consumer, "street"), (shop, "shop")):
            if published is None:
                bad_images[path] = f"a pair has the unknown split {status!r}"
                continue
            view = VIEW_PREFIXES.get(path.rpartition("/")[2].partition("_")[0].lower(), column)
            record = PairRecord(item, _split(published, view, gallery), view)
            earlier = records.setdefault(path, record)
            if earlier.item != item:
                bad_images[path] = f"listed in pairs of two items, {earlier.item} and {item}"
            if earlier.split != record.split:
                in_several_splits.add(path)
                records[path] = min(earlier, record, key=lambda candidate: SPLIT_PRIORITY.index(candidate.split))
    if in_several_splits:
        log.warning(
            "%d images are in pairs of several splits; using the first split in the order %s",
            len(in_several_splits),
            ", ".join(filter(None, SPLIT_PRIORITY)),
        )
    return {path: record for path, record in records.items() if path not in bad_images}, bad_images


def _split(published: str, view: str, gallery: GalleryChoice) -> str:
    in_gallery = published == "query" or (published == "val" and gallery == "val_test")
    return "gallery" if in_gallery and view == "shop" else published


def _warn_source_types(sources: Mapping[str, str], records: Mapping[str, PairRecord]) -> None:
    mismatched = [
        path for path, source in sources.items() if SOURCE_TYPES.get(source.lstrip("0")) != records[path].view
    ]
    if mismatched:
        log.warning(
            "%d images have a source_type (1 shop, 2 consumer) that contradicts their file name (first: %s); "
            "using the file name", len(mismatched), mismatched[0],
        )  # fmt: skip


def _row(path: str, location: str, record: PairRecord, garment: Sequence[str]) -> Mapping[str, Any] | str:
    """Return the columns of a garment, or the reason to skip the garment."""
    clothes_type, _, *coordinates = garment
    category, box = files.parse_category(path, clothes_type), parse_box(coordinates)
    if category is None:
        return f"clothes_type {clothes_type!r} is not 1, 2 or 3, or the path is not img/<top>/<folder>/<item>/<file>"
    if box is None:
        return f"box {' '.join(coordinates)} has no area"
    return {
        "image": location, "category": category, "supercategory": files.parse_clothes_type(clothes_type),
        "item": record.item, "group": "",
        "split": record.split, "view": record.view, "source": "deepfashion_consumer", "box": box,
    }  # fmt: skip
