"""DeepFashion's benchmark of categories and attributes, and the part of it that was annotated anew."""

import logging
from collections.abc import Sequence
from pathlib import Path

from fashion_lsh.data.datasets.deepfashion import files as files
from fashion_lsh.data.datasets.deepfashion.fifty_categories import (
    LONG,
    TEE,
    Facts,
    FiftyCategories,
    named,
    place_of_long_sleeves,
)
from fashion_lsh.data.datasets.deepfashion.files import Reasons
from fashion_lsh.data.datasets.image_files import Expected, Published

log = logging.getLogger(__name__)

PARTITIONS = ("test", "val", "train")  # a picture listed twice stays with the one that tests
FINE, FINE_ATTRIBUTES = "Anno_fine", 26  # its folder, and how many attributes it has
FINE_LONG = 7  # position of long_sleeve in the order that is told of the 26; from 0

IMAGE = ("image_name", "category_label")
BOXES = ("image_name", "x_1", "y_1", "x_2", "y_2")
EVALUATION = ("image_name", "evaluation_status")


class DeepFashionCategory(FiftyCategories):
    """A garment a picture, of `Anno_coarse` or the older `Anno`, `Eval` and `Img`.

    Categories are the 50; a Tee with the attribute `long sleeve` is `Tee/long sleeve`, where the attributes are there.
    A group is a product's folder: the published splits show many products on both sides (`split.leaks`).
    """

    expected = (
        Expected("[Ii]mg*", "the pictures, as Img/img/<product>/img_00000001.jpg"),
        Expected("Eval/list_eval_partition.txt", "train, val or test of each picture"),
        Expected("Anno*/list_category_cloth.txt", "names of the 50 categories"),
        Expected("Anno*/list_category_img.txt", "category of each picture"),
        Expected("Anno*/list_bbox.txt", "box of each picture"),
        Expected("Anno*/list_attr_cloth.txt", "names of the 1,000 attributes", needed=False),
        Expected("Anno*/list_attr_img.txt", "attributes of each picture: they tell long-sleeved tees", needed=False),
    )
    published = Published({"train": 209_222, "val": 40_000, "query": 40_000})
    annotations = ("Anno_coarse", "Anno")
    source = "deepfashion_category"

    def _facts(self) -> tuple[dict[str, Facts], Reasons]:
        numbers = files.read_table(self._file("list_category_img.txt"), IMAGE)
        boxes = files.read_table(self._file("list_bbox.txt"), BOXES)
        splits = files.read_table(files.find(self.root, "list_eval_partition.txt", "Eval"), EVALUATION)
        tables = {"list_category_img.txt": numbers, "list_bbox.txt": boxes, "list_eval_partition.txt": splits}
        paths, left_out = files.joined(tables)
        tees = {
            number for (number,) in numbers.rows.values() if (known := named(number, self.names)) and known.name == TEE
        }
        long, untold = self._long_sleeved([path for path in paths if numbers.rows[path][0] in tees])
        facts = {
            path: Facts(numbers.rows[path][0], boxes.rows[path], splits.rows[path][0], path in long)
            for path in paths
            if path not in untold
        }
        return facts, left_out | untold

    def _long_sleeved(self, tees: Sequence[str]) -> tuple[set[str], Reasons]:
        """Those of the tees with long sleeves, none where the files do not tell; and tees without a good row."""
        try:
            names = [name for name, _ in files.read_names(self._file("list_attr_cloth.txt"))]
            values = self._file("list_attr_img.txt")
        except FileNotFoundError as error:
            log.warning("long-sleeved tees are not told apart: %s", error)
            return set(), {}
        place = place_of_long_sleeves(names)
        if place is None:
            log.warning("long-sleeved tees are not told apart: none of %d attributes is called %s", len(names), LONG)
            return set(), {}
        table = files.read_cell(values, place, len(names), {path.encode() for path in tees})
        untold = {path: "it is a Tee without a row in list_attr_img.txt" for path in tees if path not in table.rows}
        return {path for path, (value,) in table.rows.items() if value == "1"}, untold | table.bad


class DeepFashionFine(FiftyCategories):
    """A garment a picture, of the 20,000 that `Anno_fine` annotates anew, and `Img`.

    Its files have neither header nor paths: line n of `train_bbox.txt` belongs to line n of `train.txt`. Categories and
    groups are as DeepFashionCategory has them.
    """

    expected = (
        Expected("[Ii]mg*", "the pictures, as Img/img/<product>/img_00000001.jpg"),
        Expected("Anno*/list_category_cloth.txt", "names of the 50 categories"),
        *(
            Expected(f"Anno_fine/{split}{end}.txt", f"{what} of split {split}", needed=end != "_attr")
            for split in PARTITIONS
            for end, what in (("", "pictures"), ("_cate", "categories"), ("_bbox", "boxes"), ("_attr", "attributes"))
        ),
        Expected("Anno_fine/list_attr_cloth.txt", "names of the 26 attributes", needed=False),
    )
    published = Published({"train": 14_000, "val": 2_000, "query": 4_000})
    annotations = (FINE, "Anno_coarse", "Anno")
    source = "deepfashion_fine"

    def _facts(self) -> tuple[dict[str, Facts], Reasons]:
        place = self._place()
        facts: dict[str, Facts] = {}
        left_out: Reasons = {}
        for split in PARTITIONS:
            for number, (path, of_it) in enumerate(fine_rows(self.root, split, place), start=1):
                if path in facts or not path:
                    reason = f"it was listed before, as {facts[path].split}" if path else "the line is empty"
                    left_out[f"{path} (line {number} of {split}.txt)".strip()] = reason
                else:
                    facts[path] = of_it
        return facts, left_out

    def _place(self) -> int:
        path = self.root / FINE / "list_attr_cloth.txt"
        names = [name for name, _ in files.read_names(path)] if path.is_file() else []
        place = place_of_long_sleeves(names) if len(names) == FINE_ATTRIBUTES else None
        if place is None:
            log.warning("%s does not name %d attributes with %s: it is taken as the 8th", path, FINE_ATTRIBUTES, LONG)
        return FINE_LONG if place is None else place


def fine_rows(root: Path, split: str, place: int) -> list[tuple[str, Facts]]:
    """Picture and facts of each line of a split's files; `place` is that of `long sleeve` among the attributes.

    Raises:
        FileNotFoundError: a file is missing; attributes may be.
        ValueError: a file has another number of lines than that of the pictures, or rows of another width.
    """
    paths = [line.strip() for line in files.lines(files.find(root, f"{split}.txt", FINE))]
    numbers, boxes = (_aligned(root, split, end, len(paths), width) for end, width in (("_cate", 1), ("_bbox", 4)))
    if (root / FINE / f"{split}_attr.txt").is_file():
        attributes = _aligned(root, split, "_attr", len(paths), FINE_ATTRIBUTES)
    else:
        log.warning("no %s_attr.txt in %s: long-sleeved tees are not told apart", split, root / FINE)
        attributes = [["0"] * FINE_ATTRIBUTES] * len(paths)
    rows = zip(paths, numbers, boxes, attributes, strict=True)
    return [(path, Facts(number[0], box, split, values[place] == "1")) for path, number, box, values in rows]


def _aligned(root: Path, split: str, end: str, count: int, width: int) -> list[list[str]]:
    """The cells of each line of a file whose lines belong to those of `<split>.txt`."""
    path = files.find(root, f"{split}{end}.txt", FINE)
    rows = [line.split() for line in files.lines(path)]
    if len(rows) != count:
        raise ValueError(
            f"{path} has {len(rows)} lines, {split}.txt has {count}: they belong together line by line, "
            "unpack both anew"
        )
    wrong = next((number for number, cells in enumerate(rows) if len(cells) != width), None)
    if wrong is not None:
        raise ValueError(
            f"{path}: line {wrong + 1} has {len(rows[wrong])} values, not {width}: give the official file of Anno_fine"
        )
    return rows
