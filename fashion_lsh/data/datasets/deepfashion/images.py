"""Where the pictures lie that DeepFashion's lists name."""

import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path

from fashion_lsh.data.datasets.deepfashion.files import Reasons
from fashion_lsh.data.datasets.image_files import GONE, unread

log = logging.getLogger(__name__)

IMG = re.compile(r"img(-\S*\d)?", re.IGNORECASE)  # img, Img, and img-001 of a download in several parts


def on_disk(root: Path, names: Iterable[str]) -> tuple[dict[str, str], Reasons]:
    """Where pictures that lists call `img/...` lie, below root; and those that are not there: name -> reason.

    Looked at are `img`, `Img`, `img-001` and so on in the root, and folders called so inside those. A name that differs
    in case alone is found, too, and such are counted in the log.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    folders = _picture_folders(root) if root.is_dir() else []
    if not folders:
        raise FileNotFoundError(f"no folder img or Img in {root}: unpack img.zip into {root / 'Img'}")
    known: dict[str, str] = {}
    for folder in reversed(folders):  # of two pictures of a name, that of the first folder counts
        known.update(_files(folder, root))
    wanted = list(names)
    drift = any(name not in known for name in wanted)
    loose = {name.casefold(): place for name, place in known.items()} if drift else {}
    found = {name: place for name in wanted if (place := known.get(name) or loose.get(name.casefold()))}
    drifted, gone = sum(name not in known for name in found), len(wanted) - len(found)
    if drifted:
        log.warning("%d pictures are found by names that differ from the lists in case alone", drifted)
    if gone:
        log.warning("%d of %d pictures of the lists are not below %s", gone, len(wanted), root)
    places = ", ".join(str(folder) for folder in folders)
    return found, {name: f"{GONE}: looked for in {places}" for name in wanted if name not in found}


def _picture_folders(folder: Path) -> list[Path]:
    try:
        inner = sorted(child for child in folder.iterdir() if IMG.fullmatch(child.name) and child.is_dir())
    except PermissionError:
        return []  # what is in it cannot be told: `_files` names it
    return [deepest for child in inner for deepest in _picture_folders(child) or [child]]


def _files(folder: Path, root: Path) -> dict[str, str]:
    """Files of a folder of pictures: name in the lists -> path below root."""
    own = folder.relative_to(root).as_posix()
    files: dict[str, str] = {}
    closed: list[OSError] = []
    for place, _, names in os.walk(folder, onerror=closed.append):
        inner = Path(place).relative_to(folder).as_posix()
        below = "" if inner == "." else f"{inner}/"
        files.update({f"img/{below}{name}": f"{own}/{below}{name}" for name in names})
    unread(closed)
    return files
