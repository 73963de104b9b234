"""DeepFashion in-shop retrieval: shop images as queries, other shop images of the same items as gallery."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets.deepfashion import files as files
from fashion_lsh.data.datasets.deepfashion.files import LICENCE, Reasons
from fashion_lsh.data.datasets.deepfashion.image_paths import find_images
from fashion_lsh.data.datasets.image_files import SPLIT_ALIASES, ExpectedFile, ImageFiles, PublishedCounts
from fashion_lsh.data.schema import parse_box

log = logging.getLogger(__name__)

BBOX_COLUMNS = ("image_name", "clothes_type", "pose_type", "x_1", "y_1", "x_2", "y_2")
PARTITION_COLUMNS = ("image_name", "item_id", "evaluation_status")
IMAGE_SIZE = 256  # side in pixels of the images that the boxes refer to


class DeepFashionInshop(ImageFiles):
    """In-shop benchmark: one garment per image, with the published train, query and gallery splits.

    The category is `<GENDER>/<folder>/<upper|lower|full>`, for example `MEN/Denim/lower`. Boxes refer to the 256 x 256
    images of `img`; `img_highres` is ignored.
    """

    licence = LICENCE
    expected = (
        ExpectedFile("[Ii]mg*/", "images of 256 x 256, as Img/img/WOMEN/Dresses/id_00000002/02_1_front.jpg"),
        ExpectedFile("Eval/list_eval_partition.txt", "item and split of each image: train, query or gallery"),
        ExpectedFile("Anno/list_bbox_inshop.txt", "box and clothes type of each image"),
        ExpectedFile("Anno/list_item_inshop.txt", "list of the 7,982 items", required=False),
    )
    published = PublishedCounts({"train": 25_882, "query": 14_218, "gallery": 12_612})

    def list_garments(self) -> tuple[Catalogue, Reasons]:
        evaluation = files.read_table(files.find_file(self.root, "list_eval_partition.txt", "Eval"), PARTITION_COLUMNS)
        boxes = files.read_table(files.find_file(self.root, "list_bbox_inshop.txt", "Anno"), BBOX_COLUMNS)
        files.check_items(self.root / "Anno" / "list_item_inshop.txt", {item for item, _ in evaluation.rows.values()})
        paths, skipped = files.inner_join({"list_eval_partition.txt": evaluation, "list_bbox_inshop.txt": boxes})
        locations, missing = find_images(self.root, paths)
        _check_image_size(self.root, locations)
        rows = (
            (path, _row(path, location, evaluation.rows[path], boxes.rows[path]))
            for path, location in locations.items()
        )
        return files.build_catalogue(rows, skipped | missing)


def _row(path: str, location: str, evaluation: Sequence[str], garment: Sequence[str]) -> Mapping[str, Any] | str:
    """Return the columns of a garment, or the reason to skip the garment."""
    (item, status), (clothes_type, _, *coordinates) = evaluation, garment
    split, category, box = (
        SPLIT_ALIASES.get(status.lower()),
        files.parse_category(path, clothes_type),
        parse_box(coordinates),
    )
    if split is None:
        return f"unknown split {status!r}"
    if category is None:
        return f"clothes_type {clothes_type!r} is not 1, 2 or 3, or the path is not img/<gender>/<folder>/<item>/<file>"
    if box is None:
        return f"box {' '.join(coordinates)} has no area"
    return {
        "image": location, "category": category, "supercategory": files.parse_clothes_type(clothes_type),
        "item": item, "group": "",
        "split": split, "view": "shop", "source": "deepfashion_inshop", "box": box,
    }  # fmt: skip


def _check_image_size(root: Path, locations: Mapping[str, str]) -> None:
    """Warn if the first image is not IMAGE_SIZE pixels wide and high, because the boxes refer to this size."""
    first = next(iter(locations.values()), None)
    if first is None:
        return
    try:
        with Image.open(root / first) as image:
            size = image.size
    except (OSError, ValueError, Image.DecompressionBombError):  # the scan of all images reports the error later
        return
    if size != (IMAGE_SIZE, IMAGE_SIZE):
        log.warning("%s: %d x %d pixels, but boxes refer to images of %d x %d", first, *size, IMAGE_SIZE, IMAGE_SIZE)
