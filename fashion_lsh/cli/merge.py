"""Merge data sets into one catalogue under the 30 categories, with a data card beside it.

python -m fashion_lsh merge OUT deepfashion_category=/data/deepfashion modanet=/data/modanet
python -m fashion_lsh merge OUT mine:folder=pictures/manifest.csv --map mine=my_labels.csv --crop
python train.py data=thesis30 data.root=OUT

A source is NAME=ROOT, or NAME:DATA_SET=ROOT where it is called otherwise than its data set (docs/catalogue.md).
"""

import argparse
import csv
import logging
import shlex
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fashion_lsh.data.datasets import Source, open_source
from fashion_lsh.data.datasets.folder import Folder
from fashion_lsh.data.datasets.image_files import PictureFiles
from fashion_lsh.data.datasets.merged import Origin, forget, save
from fashion_lsh.data.image_scan import Seen, state_of
from fashion_lsh.data.images import PictureError
from fashion_lsh.data.merge.cropping import CROPS, crop_all
from fashion_lsh.data.merge.merge import Merged, listed, merge, pixels_of
from fashion_lsh.data.merge.recipe import Recipe
from fashion_lsh.data.merge.taxonomy import SOURCES, map_of
from fashion_lsh.data.near_duplicates import DISTANCE
from fashion_lsh.io.files import alone, check_writable, written
from fashion_lsh.report.data_card import card, sheet

SHARES = {"train": 0.7, "val": 0.1, "query": 0.1, "gallery": 0.1}
log = logging.getLogger("merge")


def main(words: Sequence[str] | None = None) -> int:
    """Do what is asked; what is wrong is said in one line."""
    words = sys.argv[1:] if words is None else words
    asked = _arguments().parse_args(words)
    try:
        check_writable(asked.out)
        with alone(asked.out):
            _merge(asked, f"python -m fashion_lsh merge {shlex.join(words)}")
    except (OSError, ValueError) as error:
        print(f"fashion_lsh merge: {error}", file=sys.stderr)
        return 2
    return 0


def _merge(asked: argparse.Namespace, command: str) -> None:
    origins = _origins(asked.sources)
    maps, licences = _pairs(asked.map, "--map", origins), _pairs(asked.licence, "--licence", origins)
    recipe = Recipe(asked.most, asked.least, asked.distance, asked.official, SHARES, asked.seed)
    labels = {name: map_of(maps.get(name) or _map_name(name, origins[name])) for name in origins}  # before pictures
    sources = {name: open_source(*origin, 0) for name, origin in origins.items()}
    looks = recipe.distance is not None
    merged = merge({name: listed(name, source, labels[name], looks) for name, source in sources.items()}, recipe)
    told = {name: licences.get(name) or getattr(source, "licence", "") for name, source in sources.items()}
    if asked.crop:
        merged, sources, origins = _cropped(merged, sources, asked.out)
    forget(asked.out)  # an older catalogue, whose card this one replaces
    _save_card(asked.out, merged, sources, card(merged, recipe, told, command))
    save(asked.out, merged.catalogue, merged.seen, origins)
    for column, name in merged.leaks[:20]:
        log.warning("leak: %s %s stands on two sides of the splits", column, name)
    main = int(merged.catalogue.column("main").sum())
    print(
        f"{main:,} garments of {len(merged.catalogue.categories)} categories in {asked.out / 'catalogue.parquet'}; "
        f"{len(merged.left_out):,} rows were left out: {asked.out / 'card.md'} says why"
    )


def _save_card(out: Path, merged: Merged, sources: dict[str, Source], text: str) -> None:
    with written(out / "left_out.csv") as draft, draft.open("w", newline="") as file:
        csv.writer(file).writerows([("id", "reason"), *merged.left_out.items()])
    drawn = sheet(merged.catalogue, lambda key: pixels_of(sources, key))
    with written(out / "sheet.jpg") as draft:
        drawn.save(draft, "JPEG", quality=80)
    with written(out / "card.md") as draft:
        draft.write_text(text)


def _cropped(
    merged: Merged, sources: dict[str, Source], out: Path
) -> tuple[Merged, dict[str, Source], dict[str, Origin]]:
    """Every garment in a picture of its own, in OUT/crops: the catalogue is then whole in one folder."""
    rows, seen, lost = crop_all(merged.catalogue, merged.seen, lambda key: _as_seen(sources, merged.seen, key), out)
    for name, reason in list(lost.items())[:20]:
        log.warning("%s could not be cut: %s", name, reason)
    cut = replace(merged, catalogue=rows, seen=seen, left_out=merged.left_out | lost)
    return cut, {CROPS: Folder(str(out / CROPS))}, {CROPS: Origin("folder", CROPS)}


def _as_seen(sources: dict[str, Source], seen: Mapping[str, Seen], key: str) -> np.ndarray:
    """The pixels of a picture.  PictureError: it is not as it was seen."""
    name, _, own = key.partition("/")
    source = sources[name]
    if isinstance(source, PictureFiles) and state_of(source.folder / own) != seen[key].state:
        raise PictureError(f"{key}: it has gone, or changed, since it was seen")
    return source.picture(own)


def _origins(words: Sequence[str]) -> dict[str, Origin]:
    """NAME=ROOT or NAME:DATA_SET=ROOT, as typed."""
    origins: dict[str, Origin] = {}
    for word in words:
        what, sign, root = word.partition("=")
        name, _, data_set = what.partition(":")
        if not sign or not name or "/" in name:
            raise ValueError(f"{word!r} is no source: give NAME=ROOT, or NAME:DATA_SET=ROOT")
        if name in origins:
            another = f"{name}2:{data_set or name}={root}"
            raise ValueError(f"source {name!r} is given twice: give one of them another name, as {another}")
        origins[name] = Origin(data_set or name, str(Path(root).expanduser().resolve()) if root else None)
    return origins


def _map_name(name: str, origin: Origin) -> str:
    """The map of a source's labels: the one called as it is, or else its data set's."""
    return origin.data_set if name not in SOURCES and origin.data_set in SOURCES else name


def _pairs(words: Sequence[str], flag: str, sources: Collection[str]) -> dict[str, str]:
    pairs = dict(word.partition("=")[::2] for word in words)
    if bad := [word for word in words if "=" not in word]:
        raise ValueError(f"{flag} {bad[0]!r}: give NAME=VALUE")
    if unknown := [name for name in pairs if name not in sources]:
        raise ValueError(f"{flag} {unknown[0]}=…: no source is called so; there are {', '.join(sources)}")
    return pairs


def _arguments() -> argparse.ArgumentParser:
    summary, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m fashion_lsh merge",
        description=summary,
        epilog=more,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the catalogue; typed again, it is made anew")
    parser.add_argument("sources", nargs="+", metavar="NAME[:DATA_SET]=ROOT", help="what is merged")
    parser.add_argument("--map", action="append", default=[], metavar="NAME=FILE.csv", help="a label map of your own")
    parser.add_argument("--licence", action="append", default=[], metavar="NAME=TEXT", help="for the data card")
    parser.add_argument("--most", type=int, help="garments of a category at most")
    parser.add_argument("--least", type=int, default=10, help="separate items that a category needs (%(default)s)")
    parser.add_argument("--distance", type=int, default=DISTANCE, help="bits between near-duplicates (%(default)s)")
    parser.add_argument("--no-duplicates", dest="distance", action="store_const", const=None, help="look for none")
    parser.add_argument("--official", action="store_true", help="splits as they were published, leaks and all")
    parser.add_argument("--crop", action="store_true", help="cut every garment out into OUT/crops")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (%(default)s)")
    return parser
