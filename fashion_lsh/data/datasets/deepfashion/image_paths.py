"""Where the pictures lie that DeepFashion's lists name."""

import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path

from fashion_lsh.data.datasets.deepfashion.files import Reasons
from fashion_lsh.data.datasets.image_files import MISSING_IMAGE, report_unreadable

log = logging.getLogger(__name__)

IMG_FOLDER = re.compile(r"img(-\S*\d)?", re.IGNORECASE)  # img, Img, and img-001 of a download in several parts


def find_images(root: Path, names: Iterable[str]) -> tuple[dict[str, str], Reasons]:
    """Where pictures that lists call `img/...` lie, below root; and those that are not there: name -> reason.

    Looked at are `img`, `Img`, `img-001` and so on in the root, and folders called so inside those. A name that differs
    in case alone is found, too, and such are counted in the log.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    folders = _image_folders(root) if root.is_dir() else []
    if not folders:
        raise FileNotFoundError(f"no folder img or Img in {root}: unpack img.zip into {root / 'Img'}")
    known: dict[str, str] = {}
    for folder in reversed(folders):  # of two pictures of a name, that of the first folder counts
        known.update(_list_files(folder, root))
    requested = list(names)
    case_differs = any(name not in known for name in requested)
    by_casefold = {name.casefold(): path for name, path in known.items()} if case_differs else {}
    found = {name: path for name in requested if (path := known.get(name) or by_casefold.get(name.casefold()))}
    n_case_differs, n_missing = sum(name not in known for name in found), len(requested) - len(found)
    if n_case_differs:
        log.warning("%d pictures are found by names that differ from the lists in case alone", n_case_differs)
    if n_missing:
        log.warning("%d of %d pictures of the lists are not below %s", n_missing, len(requested), root)
    searched_folders = ", ".join(str(folder) for folder in folders)
    return found, {
        name: f"{MISSING_IMAGE}: looked for in {searched_folders}" for name in requested if name not in found
    }


def _image_folders(folder: Path) -> list[Path]:
    try:
        inner = sorted(child for child in folder.iterdir() if IMG_FOLDER.fullmatch(child.name) and child.is_dir())
    except PermissionError:
        return []  # what is in it cannot be told: `_files` names it
    return [deepest for child in inner for deepest in _image_folders(child) or [child]]


def _list_files(folder: Path, root: Path) -> dict[str, str]:
    """Files of a folder of pictures: name in the lists -> path below root."""
    relative = folder.relative_to(root).as_posix()
    files: dict[str, str] = {}
    read_errors: list[OSError] = []
    for path, _, names in os.walk(folder, onerror=read_errors.append):
        inner = Path(path).relative_to(folder).as_posix()
        below = "" if inner == "." else f"{inner}/"
        files.update({f"img/{below}{name}": f"{relative}/{below}{name}" for name in names})
    report_unreadable(read_errors)
    return files
