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
FLIP_RATIO, NOISE_NORM = (
    0.04,
    0.25,
)  # of a copy: share of its bits that differ, length of what is added to its embedding

Composed = tuple[np.ndarray, Catalogue]


class LabelledGarments(NamedTuple):
    """Encoded garments, with what they truly are.

    encoded: N garments; labels: (N,) int64 true categories; items: (N,) str, "" where nobody asks for it.
    """

    encoded: Encoded
    labels: np.ndarray
    items: np.ndarray

    def head(self, count: int) -> "LabelledGarments":
        """The first `count`."""
        return LabelledGarments(self.encoded.take(slice(count)), self.labels[:count], self.items[:count])


def extra_garments(model: Model, source: ShopStreet, count: int, cache_file: Path) -> LabelledGarments:
    """`count` garments that are relevant to no query: composed in other looks, cropped and encoded.

    Args:
        model: that will be asked.
        source: whose garments they are.
        count: how many.
        cache_file: a .npz file from which they are read if they are there; otherwise they are written to it.
    """
    cache_key = f"{model.fingerprint()} {source.folder.name}"
    cached = _read_cache(cache_file, cache_key)
    if cached and len(cached.labels) >= count:
        return cached.head(count)
    log.info("composing and encoding %d further garments; they are kept in %s", count, cache_file)
    probabilities, codes, embeddings, labels = zip(*_encode_chunks(model, source, count), strict=True)
    parts_by_name = {"probabilities": probabilities, "codes": codes, "embeddings": embeddings, "labels": labels}
    arrays = {name: np.concatenate(parts) for name, parts in parts_by_name.items()}
    with atomic_write(cache_file) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, of=np.array(cache_key), **arrays)
    encoded = Encoded(arrays["probabilities"], arrays["codes"], arrays["embeddings"].astype(np.float32))
    return LabelledGarments(encoded, arrays["labels"], _no_items(count))


def extend_gallery(
    model: Model, source: ShopStreet, encoded: Encoded, catalogue: Catalogue, total: int, cache_file: Path
) -> LabelledGarments:
    """N encoded garments of a run and their rows, and so many further ones that they are `total` (see `further`)."""
    run_garments = LabelledGarments(encoded, catalogue.labels(model.categories), catalogue.column("item"))
    num_extra = max(0, total - len(run_garments.labels))
    return (
        concatenate([run_garments, extra_garments(model, source, num_extra, cache_file)]) if num_extra else run_garments
    )


def build_gallery(model: Model, garments: LabelledGarments, probabilities: np.ndarray) -> Gallery:
    """Garments filed by the greatest of (N, C) masses; their catalogue knows true labels and items alone.

    Their order is shuffled: of rows at one distance the lowest are found, which would be those of the run.
    """
    ids = np.random.default_rng(0).permutation(len(garments.labels))
    columns = {"id": ids, "image": ids, "category": garments.labels[ids]}
    catalogue = Catalogue.from_columns(
        {name: values.astype(str) for name, values in columns.items()} | {"item": garments.items[ids]}
    )
    return Gallery.build(model, garments.encoded._replace(probabilities=probabilities).take(ids), catalogue)


def perturbed_copies(garments: LabelledGarments, count: int, bits: int) -> LabelledGarments:
    """`count` disturbed copies of garments, in turn: for times and shares, not for scores, as they are alike.

    A ratio FLIP_RATIO of each code's bits differs, a random vector of length NOISE_NORM is added to its embedding;
    category and probabilities are those of the garment it was copied from.

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
        flips[:, bit // 8] |= (rng.random(count) < FLIP_RATIO).astype(np.uint8) << (bit % 8)
    noisy = embeddings[origin]
    noise = rng.standard_normal(noisy.shape, dtype=np.float32)
    noisy += NOISE_NORM * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    noisy /= np.linalg.norm(noisy, axis=1, keepdims=True)
    return LabelledGarments(
        Encoded(probabilities[origin], codes[origin] ^ flips, noisy), garments.labels[origin], _no_items(count)
    )


def concatenate(parts: Iterable[LabelledGarments]) -> LabelledGarments:
    """Several, one after the other."""
    encoded, labels, items = zip(*parts, strict=True)
    return LabelledGarments(Encoded.concatenate(encoded), np.concatenate(labels), np.concatenate(items))


def _read_cache(file: Path, cache_key: str) -> LabelledGarments | None:
    """The garments of that name in a file; None where there is none, of another name, or damaged, which is told."""
    if not file.exists():
        return None
    try:
        arrays = read_arrays(file)
        if str(arrays["of"]) != cache_key:
            return None
        encoded = Encoded(arrays["probabilities"], arrays["codes"], arrays["embeddings"].astype(np.float32))
        return LabelledGarments(encoded, arrays["labels"], _no_items(len(arrays["labels"])))
    except (ValueError, KeyError) as error:
        log.warning("%s is damaged (%r) and is made again", file, error)
        return None


def _no_items(count: int) -> np.ndarray:
    """Items of garments that nobody asks for."""
    return np.full(count, "", dtype=object)


def _encode_chunks(
    model: Model, source: ShopStreet, count: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Masses, codes, embeddings (float16) and labels of each chunk."""
    for pixels, catalogue in _compose_chunks(source.extra_items, count):
        boxes = catalogue.boxes
        crops = [crop_image(*pair, model.margin, model.image_size) for pair in zip(pixels, boxes, strict=True)]
        encoded = encode_crops(model, crops)
        if encoded.codes is None:
            raise ValueError("hash=none makes no codes: choose a run with a hash layer")
        yield (
            encoded.probabilities,
            encoded.codes,
            encoded.embeddings.astype(np.float16),
            catalogue.labels(model.categories),
        )


def _compose_chunks(compose: Callable[[int, int], Composed], count: int) -> Iterator[Composed]:
    """Pictures and rows, a chunk at a time; another process composes while this one encodes."""
    starts = list(range(0, count, CHUNK))
    stops = [min(start + CHUNK, count) for start in starts]
    with ProcessPoolExecutor(1) as pool:
        futures = [pool.submit(compose, *job) for job in zip(starts[:2], stops[:2], strict=True)]
        with progress("composing and encoding", count) as step:
            for number, (start, stop) in enumerate(zip(starts, stops, strict=True)):
                chunk = futures.pop(0).result()
                if number + 2 < len(starts):
                    futures.append(pool.submit(compose, starts[number + 2], stops[number + 2]))
                yield chunk
                step(stop - start)
