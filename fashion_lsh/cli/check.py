"""See in seconds what of a data set is there: python -m fashion_lsh check SOURCE ROOT.

Pictures are looked for, not opened. Exit status 1: a part that is needed is missing, or no picture is there.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets import MNIST, ROOTED, open_source
from fashion_lsh.data.datasets.fashion_mnist import FashionMnist
from fashion_lsh.data.datasets.image_files import GONE, PictureFiles, Published
from fashion_lsh.data.image_scan import MISSING, state_of

NAMED = 5  # of the rows with something amiss, so many are shown


def main(words: Sequence[str] | None = None) -> int:
    """Print what is there."""
    parser = argparse.ArgumentParser(prog="python -m fashion_lsh check", description=__doc__)
    parser.add_argument("source", choices=sorted([*ROOTED, MNIST]), help="the data set")
    parser.add_argument("root", type=Path, help="where it was unpacked")
    asked = parser.parse_args(words)
    try:
        source = open_source(asked.source, str(asked.root), 0)
        if isinstance(source, PictureFiles):
            whole = _parts(source)
            return 0 if _rows(source) and whole else 1
        if isinstance(source, FashionMnist):  # its files are whole, or it had not opened
            _counts(source.catalogue(), source.published)
            return 0
        raise ValueError(f"{asked.source} is made by `python -m fashion_lsh merge`: its data card says what is in it")
    except (OSError, ValueError) as error:
        print(f"{asked.source}: {error}", file=sys.stderr)
        return 1


def _parts(source: PictureFiles) -> bool:
    """Tell which files and folders of the published layout are there, and whether all that are needed are."""
    lines, whole = [], True
    for part in source.expected:
        there = any(next(source.folder.glob(pattern), None) is not None for pattern in part.pattern.split("|"))
        whole &= there or not part.needed
        found = "there" if there else "MISSING" if part.needed else "not there"
        lines.append((part.pattern.replace("|", " or "), part.holds, found))
    if lines:
        print(tabulate(lines, ["file or folder", "holds", ""]), end="\n\n")
    return whole


def _rows(source: PictureFiles) -> bool:
    """Tell how many rows are listed beside how many were published, and which pictures are missing."""
    rows, left_out = source.listed()
    _counts(rows, source.published or Published({}))
    pictures = sorted(set(rows.column("picture")))
    missing = [str(source.folder / name) for name in pictures if state_of(source.folder / name) == MISSING]
    gone = [name for name, reason in left_out.items() if reason.startswith(GONE)]
    useless = [f"{name}: {reason}" for name, reason in left_out.items() if not reason.startswith(GONE)]
    print(f"{len(rows):,} garments of {len(rows.categories)} labels; {len(useless):,} further rows are of no use")
    _named(useless)
    print(f"{len(missing) + len(gone):,} of {len(pictures) + len(gone):,} pictures are missing")
    _named(missing + gone)
    return len(missing) < len(pictures)


def _counts(rows: Catalogue, published: Published) -> None:
    """Print how many there are of each split, in the unit of what was published, and by how much that differs."""
    of_picture = dict(zip(rows.column("picture"), rows.column("split"), strict=True))
    names = list(of_picture.values() if published.unit == "pictures" else rows.column("split"))
    counts = Counter(names) | {"all": len(names)}
    lines = []
    for name in [*sorted((counts.keys() | published.counts.keys()) - {"all"}), "all"]:
        told, difference = published.counts.get(name), counts.get(name, 0) - published.counts.get(name, 0)
        beside = ("", "") if told is None else (f"{told:,}", f"{difference:+,}" if difference else "agrees")
        lines.append((name or "without a split", f"{counts.get(name, 0):,}", *beside))
    print(tabulate(lines, ["split", published.unit, "published", ""]), end="\n\n")


def _named(lines: Sequence[str]) -> None:
    for line in lines[:NAMED]:
        print(f"  {line}")
