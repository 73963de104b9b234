"""See in seconds what of a data set is there: python -m fashion_lsh.catalogue.check SOURCE ROOT.

Pictures are looked for, not opened. Exit status 1: something that is needed is missing.
"""

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from fashion_lsh.catalogue.catalogue import Catalogue
from fashion_lsh.catalogue.scan import MISSING, state_of
from fashion_lsh.catalogue.sources import ROOTED, open_source
from fashion_lsh.catalogue.sources.picture_files import PictureFiles

NAMED = 5  # of the rows with something amiss, so many are shown


def main(words: Sequence[str] | None = None) -> int:
    """Print what is there."""
    parser = argparse.ArgumentParser(prog="python -m fashion_lsh.catalogue.check", description=__doc__)
    parser.add_argument("source", choices=sorted(ROOTED), help="the data set")
    parser.add_argument("root", type=Path, help="where it was unpacked")
    asked = parser.parse_args(words)
    try:
        source = open_source(asked.source, str(asked.root), 0)
        if not isinstance(source, PictureFiles):
            raise ValueError(f"{asked.source} is made by merge.py: its data card says what is in it")
        whole = _parts(source)
        return 0 if _rows(source) and whole else 1
    except (OSError, ValueError) as error:
        print(f"{asked.source}: {error}", file=sys.stderr)
        return 1


def _parts(source: PictureFiles) -> bool:
    """Tell which files and folders of the published layout are there, and whether all that are needed are."""
    lines, whole = [], True
    for part in source.parts:
        there = next(source.folder.glob(part.pattern), None) is not None
        whole &= there or not part.needed
        lines.append((part.pattern, part.holds, "there" if there else "MISSING" if part.needed else "not there"))
    if lines:
        print(tabulate(lines, ["file or folder", "holds", ""]), end="\n\n")
    return whole


def _rows(source: PictureFiles) -> bool:
    """Tell how many rows are listed beside how many were published, and which pictures are missing."""
    rows, left_out = source.listed()
    counts = Counter(rows.column("split"))
    lines = []
    for name in sorted(counts.keys() | source.published.keys()):
        there, published = counts[name], source.published.get(name)
        told = ("", "") if published is None else (f"{published:,}", "" if there == published else "differs")
        lines.append((name or "without a split", f"{there:,}", *told))
    print(tabulate(lines, ["split", "garments", "published", ""]), end="\n\n")
    missing = _missing(source, rows)
    print(f"{len(rows):,} garments of {len(rows.categories)} labels; {len(left_out):,} rows are of no use")
    for name, reason in list(left_out.items())[:NAMED]:
        print(f"  {name}: {reason}")
    print(f"{len(missing):,} of {len(set(rows.column('picture'))):,} pictures are missing")
    for name in missing[:NAMED]:
        print(f"  {source.folder / name}")
    return len(missing) < len(set(rows.column("picture")))


def _missing(source: PictureFiles, rows: Catalogue) -> list[str]:
    return [name for name in sorted(set(rows.column("picture"))) if state_of(source.folder / name) == MISSING]


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    sys.exit(main())
