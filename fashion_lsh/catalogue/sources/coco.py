"""Pictures whose garments are boxed in COCO's layout."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fashion_lsh.catalogue.catalogue import BOX, Catalogue
from fashion_lsh.catalogue.sources.picture_files import SPLIT_WORDS, PictureFiles, one_spelling

Row = dict[str, Any]


class Coco(PictureFiles):
    """Every box of `instances_*.json` as a garment.

    The files lie in `<root>` or `<root>/annotations`, or root is one such file; `instances_train2017.json` is of split
    train, and so on by their names. With train and val alone, val is what asks, and the splits take a new val from
    train. Pictures lie in `<root>/images`, in a folder named after the split (`train2017`), or in `<root>` itself.
    Left out are crowds and boxes under a pixel.
    """

    def listed(self) -> tuple[Catalogue, dict[str, str]]:
        files = self._files()
        splits = _splits(files)
        rows = [row for file in files for row in _rows(_read(file), file, splits[file], self._pictures(file))]
        if not rows:
            raise ValueError(f"{self.root} holds no boxes: its files name no annotations")
        left_out = {row["id"]: row["problem"] for row in rows if row["problem"]}
        kept = [row for row in rows if not row["problem"]]
        columns = {name: [row[name] for row in kept] for name in ("id", "picture", "split", *BOX)}
        categories = one_spelling([row["category"] for row in kept])
        return Catalogue.of({**columns, "category": categories, "source": ["coco"] * len(kept)}), left_out

    def _files(self) -> list[Path]:
        if self.root.is_file():
            return [self.root]
        found = sorted([*self.root.glob("instances_*.json"), *self.root.glob("annotations/instances_*.json")])
        if not found:
            raise FileNotFoundError(
                f"no instances_*.json in {self.root} or its folder annotations: give data.root such a folder or file"
            )
        return found

    def _pictures(self, file: Path) -> Path:
        """The folder of a file's pictures, below `self.folder`."""
        for name in ("images", file.stem.rpartition("_")[2], _word(file)):
            if (self.folder / name).is_dir():
                return Path(name)
        return Path()


def _word(file: Path) -> str:
    """`train` of `instances_attributes_train2020.json`."""
    return re.sub(r"\d+$", "", file.stem.rpartition("_")[2]).lower()


def _splits(files: list[Path]) -> dict[Path, str]:
    """The split of each file: by its name; a val beside no test asks; "" where any name says nothing."""
    named = {file: SPLIT_WORDS.get(_word(file), "") for file in files}
    if "" in named.values() or len(files) == 1:
        return dict.fromkeys(files, "")
    return {file: "query" if name == "val" and "query" not in named.values() else name for file, name in named.items()}


def _read(file: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        missing = [name for name in ("images", "annotations", "categories") if name not in content]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file} is no JSON ({error}): unpack it anew") from error
    if missing:
        raise ValueError(f"{file} has no {missing[0]!r}: give a file of COCO's layout for objects")
    return dict(content)


def _rows(content: Mapping[str, Any], file: Path, split: str, folder: Path) -> Iterator[Row]:
    """A row a box, with what is wrong with it as `problem`."""
    try:
        pictures = {image["id"]: (folder / image["file_name"]).as_posix() for image in content["images"]}
        names = {category["id"]: category["name"] for category in content["categories"]}
        numbers: Counter[str] = Counter()
        for each in content["annotations"]:
            numbers[str(each["id"])] += 1  # the first Fashionpedia has numbers twice
            again = numbers[str(each["id"])]
            x, y, width, height = map(float, each["bbox"])
            yield {
                "id": f"{file.stem}/{each['id']}" + (f"#{again}" if again > 1 else ""),
                "picture": pictures[each["image_id"]],
                "category": names[each["category_id"]],
                "split": split,
                **dict(zip(BOX, (x, y, x + width, y + height), strict=True)),
                "problem": _problem(each, width, height),
            }
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file} does not fit COCO's layout ({error!r}): check its images and annotations") from error


def _problem(annotation: Mapping[str, Any], width: float, height: float) -> str:
    if annotation.get("iscrowd"):
        return "a crowd, not one garment"
    return "" if min(width, height) >= 1 else f"its box of {width:g} x {height:g} pixels is under a pixel"
