"""Galleries of any size: the run's own garments, extra composed garments, and perturbed copies."""

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

CHUNK = 256  # images composed and encoded at a time
FLIP_RATIO = 0.04  # fraction of code bits flipped in a copy
NOISE_NORM = 0.25  # Euclidean norm of the noise added to the embedding of a copy

Composed = tuple[np.ndarray, Catalogue]


class LabelledGarments(NamedTuple):
    """Encoded garments with their labels.

    encoded: N garments; labels: (N,) int64 true categories; items: (N,) str, "" if relevant to no query.
    """

    encoded: Encoded
    labels: np.ndarray
    items: np.ndarray

    def head(self, count: int) -> "LabelledGarments":
        """Return the first `count` garments."""
        return LabelledGarments(self.encoded.take(slice(count)), self.labels[:count], self.items[:count])


def extra_garments(model: Model, source: ShopStreet, count: int, cache_file: Path) -> LabelledGarments:
    """Compose, crop and encode `count` garments with new appearances, relevant to no query; cached.

    Args:
        model: Encodes the crops.
        source: Data set whose garments are composed.
        count: Number of garments.
        cache_file: .npz file; read if it has enough garments of this model and data set, else written.
    """
    cache_key = f"{model.fingerprint()} {source.folder.name}"
    cached = _read_cache(cache_file, cache_key)
    if cached and len(cached.labels) >= count:
        return cached.head(count)
    log.info("Composing and encoding %d extra garments, cached in %s", count, cache_file)
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
    """Extend the N encoded garments of a run to `total` with `extra_garments`; unchanged if N >= total."""
    run_garments = LabelledGarments(encoded, catalogue.labels(model.categories), catalogue.column("item"))
    num_extra = max(0, total - len(run_garments.labels))
    return (
        concatenate([run_garments, extra_garments(model, source, num_extra, cache_file)]) if num_extra else run_garments
    )


def build_gallery(model: Model, garments: LabelledGarments, probabilities: np.ndarray) -> Gallery:
    """Build a gallery of N garments, assigned to lists by the argmax of (N, C) probabilities.

    Its catalogue has only true labels and items. Rows are shuffled: ties in distance go to the lowest row, which would
    favour the run's own garments.
    """
    ids = np.random.default_rng(0).permutation(len(garments.labels))
    columns = {"id": ids, "image": ids, "category": garments.labels[ids]}
    catalogue = Catalogue.from_columns(
        {name: values.astype(str) for name, values in columns.items()} | {"item": garments.items[ids]}
    )
    return Gallery.build(model, garments.encoded._replace(probabilities=probabilities).take(ids), catalogue)


def perturbed_copies(garments: LabelledGarments, count: int, bits: int) -> LabelledGarments:
    """Return `count` perturbed copies of garments, cycling through them; for timing only, not for scores.

    A fraction FLIP_RATIO of the bits of each code is flipped, a random vector of norm NOISE_NORM is added to the
    embedding; category and probabilities are those of the original.

    Raises:
        ValueError: the garments have no codes.
    """
    rng = np.random.default_rng(0)
    origin = np.arange(count) % len(garments.labels)
    probabilities, codes, embeddings = garments.encoded
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
        Encoded(probabilities[origin], codes[origin] ^ flips, noisy), garments.labels[origin], _no_items(count)
    )


def concatenate(parts: Iterable[LabelledGarments]) -> LabelledGarments:
    """Concatenate garments in order."""
    encoded, labels, items = zip(*parts, strict=True)
    return LabelledGarments(Encoded.concatenate(encoded), np.concatenate(labels), np.concatenate(items))


def _read_cache(file: Path, cache_key: str) -> LabelledGarments | None:
    """Read cached garments; None if the file is missing, has another key, or is damaged (logged)."""
    if not file.exists():
        return None
    try:
        arrays = read_arrays(file)
        if str(arrays["of"]) != cache_key:
            return None
        encoded = Encoded(arrays["probabilities"], arrays["codes"], arrays["embeddings"].astype(np.float32))
        return LabelledGarments(encoded, arrays["labels"], _no_items(len(arrays["labels"])))
    except (ValueError, KeyError) as error:
        log.warning("%s: damaged cache (%r); computing it again", file, error)
        return None


def _no_items(count: int) -> np.ndarray:
    """Items of garments that are relevant to no query."""
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
    """Yield images and catalogue chunk by chunk; another process composes while this one encodes."""
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
