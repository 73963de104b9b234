"""Galleries of any size: the run's own, further garments that were really composed and encoded, and copies of both."""

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.crops import crop_image
from fashion_lsh.data.datasets.shop_street.dataset import ShopStreet
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.io.arrays import read_arrays
from fashion_lsh.io.files import atomic_write
from fashion_lsh.io.progress import progress
from fashion_lsh.models.encoding import Encoded, Model, encode_crops

log = logging.getLogger(__name__)

CHUNK = 256  # pictures composed, and encoded, at once
FLIPPED, NOISE = 0.04, 0.25  # of a copy: share of its bits that differ, length of what is added to its embedding

Composed = tuple[np.ndarray, Catalogue]


class Labelled(NamedTuple):
    """Encoded garments, with what they truly are.

    encoded: N garments; labels: (N,) int64 true categories; items: (N,) str, "" where nobody asks for it.
    """

    encoded: Encoded
    labels: np.ndarray
    items: np.ndarray

    def first(self, count: int) -> "Labelled":
        """The first `count`."""
        return Labelled(self.encoded.take(slice(count)), self.labels[:count], self.items[:count])


def further(model: Model, source: ShopStreet, count: int, kept: Path) -> Labelled:
    """`count` garments that are relevant to no query: composed in other looks, cropped and encoded.

    Args:
        model: that will be asked.
        source: whose garments they are.
        count: how many.
        kept: a .npz file from which they are read if they are there; otherwise they are written to it.
    """
    name = f"{model.fingerprint()} {source.folder.name}"
    before = _kept(kept, name)
    if before and len(before.labels) >= count:
        return before.first(count)
    log.info("composing and encoding %d further garments; they are kept in %s", count, kept)
    probabilities, codes, embeddings, labels = zip(*_encoded(model, source, count), strict=True)
    joined = {name: np.concatenate(parts) for name, parts in
              {"masses": probabilities, "codes": codes, "embeddings": embeddings, "labels": labels}.items()}  # fmt: skip
    with atomic_write(kept) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, of=np.array(name), **joined)
    found = Encoded(joined["masses"], joined["codes"], joined["embeddings"].astype(np.float32))
    return Labelled(found, joined["labels"], _none(count))


def grown(model: Model, source: ShopStreet, encoded: Encoded, catalogue: Catalogue, total: int, kept: Path) -> Labelled:
    """N encoded garments of a run and their rows, and so many further ones that they are `total` (see `further`)."""
    own = Labelled(encoded, catalogue.labels(model.categories), catalogue.column("item"))
    wanted = max(0, total - len(own.labels))
    return joined([own, further(model, source, wanted, kept)]) if wanted else own


def filed_gallery(model: Model, garments: Labelled, probabilities: np.ndarray) -> Gallery:
    """Garments filed by the greatest of (N, C) masses; their catalogue knows true labels and items alone.

    Their order is shuffled: of rows at one distance the lowest are found, which would be those of the run.
    """
    ids = np.random.default_rng(0).permutation(len(garments.labels))
    columns = {"id": ids, "image": ids, "category": garments.labels[ids]}
    catalogue = Catalogue.from_columns(
        {name: values.astype(str) for name, values in columns.items()} | {"item": garments.items[ids]}
    )
    return Gallery.build(model, garments.encoded._replace(probabilities=probabilities).take(ids), catalogue)


def copies(garments: Labelled, count: int, bits: int) -> Labelled:
    """`count` disturbed copies of garments, in turn: for times and shares, not for scores, as they are alike.

    A share FLIPPED of each code's bits differs, a random vector of length NOISE is added to its embedding, and category
    and masses are those of the garment it was copied from.

    Raises:
        ValueError: there are no codes.
    """
    rng = np.random.default_rng(0)
    origin = np.arange(count) % len(garments.labels)
    probabilities, codes, embeddings = garments.encoded
    if codes is None:
        raise ValueError("copies are made of codes, and hash=none makes none: choose a run with a hash layer")
    flips = np.zeros((count, codes.shape[1]), dtype=np.uint8)
    for bit in range(bits):
        flips[:, bit // 8] |= (rng.random(count) < FLIPPED).astype(np.uint8) << (bit % 8)
    moved = embeddings[origin]
    noise = rng.standard_normal(moved.shape, dtype=np.float32)
    moved += NOISE * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    return Labelled(Encoded(probabilities[origin], codes[origin] ^ flips, moved), garments.labels[origin], _none(count))


def joined(parts: Iterable[Labelled]) -> Labelled:
    """Several, one after the other."""
    encoded, labels, items = zip(*parts, strict=True)
    return Labelled(Encoded.concatenate(encoded), np.concatenate(labels), np.concatenate(items))


def _kept(file: Path, name: str) -> Labelled | None:
    """The garments of that name in a file; None where there is none, of another name, or damaged, which is told."""
    if not file.exists():
        return None
    try:
        held = read_arrays(file)
        if str(held["of"]) != name:
            return None
        found = Encoded(held["masses"], held["codes"], held["embeddings"].astype(np.float32))
        return Labelled(found, held["labels"], _none(len(held["labels"])))
    except (ValueError, KeyError) as error:
        log.warning("%s is damaged (%r) and is made again", file, error)
        return None


def _none(count: int) -> np.ndarray:
    """Items of garments that nobody asks for."""
    return np.full(count, "", dtype=object)


def _encoded(
    model: Model, source: ShopStreet, count: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Masses, codes, embeddings (float16) and labels of each chunk."""
    for pixels, catalogue in _composed(source.extra_items, count):
        boxes = catalogue.boxes
        crops = [crop_image(*pair, model.margin, model.image_size) for pair in zip(pixels, boxes, strict=True)]
        found = encode_crops(model, crops)
        if found.codes is None:
            raise ValueError("hash=none makes no codes: choose a run with a hash layer")
        yield found.probabilities, found.codes, found.embeddings.astype(np.float16), catalogue.labels(model.categories)


def _composed(compose: Callable[[int, int], Composed], count: int) -> Iterator[Composed]:
    """Pictures and rows, a chunk at a time; another process composes while this one encodes."""
    starts = list(range(0, count, CHUNK))
    stops = [min(start + CHUNK, count) for start in starts]
    with ProcessPoolExecutor(1) as pool:
        waiting = [pool.submit(compose, *job) for job in zip(starts[:2], stops[:2], strict=True)]
        with progress("composing and encoding", count) as step:
            for number, (start, stop) in enumerate(zip(starts, stops, strict=True)):
                ready = waiting.pop(0).result()
                if number + 2 < len(starts):
                    waiting.append(pool.submit(compose, starts[number + 2], stops[number + 2]))
                yield ready
                step(stop - start)
