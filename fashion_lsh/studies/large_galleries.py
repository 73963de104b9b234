"""Galleries of any size: the run's own garments, distractors, and perturbed copies.

Distractors are garments of shop_street in new colours and patterns: no distractor has the item of a query.
"""

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

CHUNK = 256  # number of images composed and encoded at a time
FLIP_RATIO = 0.04  # fraction of code bits flipped in a copy
NOISE_NORM = 0.25  # Euclidean norm of the noise added to the embedding of a copy

Composed = tuple[np.ndarray, Catalogue]


class LabelledGarments(NamedTuple):
    """Encoded garments with labels.

    Attributes:
        encoded: N garments.
        labels: (N,) int64, true categories.
        items: (N,) str; "" for distractors and copies.
    """

    encoded: Encoded
    labels: np.ndarray
    items: np.ndarray

    def head(self, count: int) -> "LabelledGarments":
        """Return the first `count` garments."""
        return LabelledGarments(self.encoded.take(slice(count)), self.labels[:count], self.items[:count])


def extra_garments(model: Model, source: ShopStreet, count: int, cache_file: Path) -> LabelledGarments:
    """Compose, crop and encode `count` distractors, or read them from a cache.

    Args:
        model: Model that encodes the crops.
        source: Data set that composes the garments.
        count: Number of garments.
        cache_file: .npz file; read if it has at least `count` garments of this model and data set, else written.
    """
    cache_key = f"{model.fingerprint()} {source.folder.name}"
    cached = _read_cache(cache_file, cache_key)
    if cached and len(cached.labels) >= count:
        return cached.head(count)
    log.info("Composing and encoding %d extra garments; cache: %s", count, cache_file)
    probabilities, codes, embeddings, labels = zip(*_encode_chunks(model, source, count), strict=True)
    parts_by_name = {"probabilities": probabilities, "codes": codes, "embeddings": embeddings, "labels": labels}
    arrays = {name: np.concatenate(parts) for name, parts in parts_by_name.items()}
    with atomic_write(cache_file) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, key=np.array(cache_key), **arrays)
    encoded = Encoded(arrays["probabilities"], arrays["codes"], arrays["embeddings"].astype(np.float32))
    return LabelledGarments(encoded, arrays["labels"], _empty_items(count))


def extend_gallery(
    model: Model, source: ShopStreet, encoded: Encoded, catalogue: Catalogue, total: int, cache_file: Path
) -> LabelledGarments:
    """Extend the N encoded garments of a run to `total` garments with `extra_garments`; unchanged if N >= total."""
    run_garments = LabelledGarments(encoded, catalogue.labels(model.categories), catalogue.column("item"))
    num_extra = max(0, total - len(run_garments.labels))
    return (
        concatenate([run_garments, extra_garments(model, source, num_extra, cache_file)]) if num_extra else run_garments
    )


def build_gallery(model: Model, garments: LabelledGarments, probabilities: np.ndarray) -> Gallery:
    """Build a gallery of N garments, assigned to lists by the argmax of (N, C) probabilities.

    The catalogue has only true labels and items. Rows are shuffled: tied rows are resolved by the lowest row number,
    which would favour the run's own garments.
    """
    ids = np.random.default_rng(0).permutation(len(garments.labels))
    columns = {"id": ids, "image": ids, "category": garments.labels[ids]}
    catalogue = Catalogue.from_columns(
        {name: values.astype(str) for name, values in columns.items()} | {"item": garments.items[ids]}
    )
    return Gallery.build(model, garments.encoded._replace(probabilities=probabilities).take(ids), catalogue)


def perturbed_copies(garments: LabelledGarments, count: int, bits: int) -> LabelledGarments:
    """Return `count` perturbed copies of encoded garments, cycling through the garments; not for item scores.

    Each code bit is flipped with probability FLIP_RATIO. A random vector of norm NOISE_NORM is added to the embedding,
    which is then normalised. Category and probabilities are unchanged.

    Raises:
        ValueError: the garments have no codes.
    """
    rng = np.random.default_rng(0)
    origin = np.arange(count) % len(garments.labels)
    probabilities, codes, embeddings, _ = garments.encoded
    if codes is None:
        raise ValueError("hash=none: perturbed copies need codes; choose a run with a hash layer")
    flips = np.zeros((count, codes.shape[1]), dtype=np.uint8)
    for bit in range(bits):
        flips[:, bit // 8] |= (rng.random(count) < FLIP_RATIO).astype(np.uint8) << (bit % 8)
    noisy = embeddings[origin]
    noise = rng.standard_normal(noisy.shape, dtype=np.float32)
    noisy += NOISE_NORM * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    noisy /= np.linalg.norm(noisy, axis=1, keepdims=True)
    return LabelledGarments(
        Encoded(probabilities[origin], codes[origin] ^ flips, noisy), garments.labels[origin], _empty_items(count)
    )


def concatenate(parts: Iterable[LabelledGarments]) -> LabelledGarments:
    """Concatenate lists of garments."""
    encoded, labels, items = zip(*parts, strict=True)
    return LabelledGarments(Encoded.concatenate(encoded), np.concatenate(labels), np.concatenate(items))


def _read_cache(file: Path, cache_key: str) -> LabelledGarments | None:
    """Read cached garments; None if the file is missing, has another key, or is damaged (with a warning)."""
    if not file.exists():
        return None
    try:
        arrays = read_arrays(file)
        if str(arrays["key"]) != cache_key:
            return None
        encoded = Encoded(arrays["probabilities"], arrays["codes"], arrays["embeddings"].astype(np.float32))
        return LabelledGarments(encoded, arrays["labels"], _empty_items(len(arrays["labels"])))
    except (ValueError, KeyError) as error:
        log.warning("%s: damaged cache (%r); computing the garments again", file, error)
        return None


def _empty_items(count: int) -> np.ndarray:
    """Items of `count` distractors: empty strings, so that distractors are never relevant."""
    return np.full(count, "", dtype=object)


def _encode_chunks(
    model: Model, source: ShopStreet, count: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield probabilities, codes, embeddings (float16) and labels of each chunk."""
    for pixels, catalogue in _compose_chunks(source.extra_items, count):
        boxes = catalogue.boxes
        crops = [crop_image(*pair, model.margin, model.image_size) for pair in zip(pixels, boxes, strict=True)]
        encoded = encode_crops(model, crops)
        if encoded.codes is None:
            raise ValueError("hash=none: this study needs codes; choose a run with a hash layer")
        yield (
            encoded.probabilities,
            encoded.codes,
            encoded.embeddings.astype(np.float16),
            catalogue.labels(model.categories),
        )


def _compose_chunks(compose: Callable[[int, int], Composed], count: int) -> Iterator[Composed]:
    """Yield images and catalogue of each chunk; a second process composes the next chunks at the same time."""
    starts = list(range(0, count, CHUNK))
    stops = [min(start + CHUNK, count) for start in starts]
    with ProcessPoolExecutor(1) as pool:
        futures = [pool.submit(compose, *job) for job in zip(starts[:2], stops[:2], strict=True)]
        with progress("Composing and encoding", count) as step:
            for number, (start, stop) in enumerate(zip(starts, stops, strict=True)):
                chunk = futures.pop(0).result()
                if number + 2 < len(starts):
                    futures.append(pool.submit(compose, starts[number + 2], stops[number + 2]))
                yield chunk
                step(stop - start)
