"""Near-duplicate images: the same image resized, saved again, mirrored, slightly cropped or recoloured.

    pairs = near_duplicate_pairs(np.stack([fingerprint(image) for image in images]))
    similar = pairs[similarity(np.stack([thumbnail(image) for image in images]), pairs) >= MIN_SIMILARITY]
    groups = connected_components(len(images), similar)

A fingerprint is the sign of the low frequencies of the grey image, as in pHash (C. Zauner: Implementation and
Benchmarking of Perceptual Image Hash Functions, 2010). It does not depend on brightness, contrast or colour. On a plain
background, garments of the same outline have near fingerprints; the colour thumbnails separate most of them.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from PIL import Image

from fashion_lsh.data.images import to_pil_image

BITS = 256
VIEWS = 4  # codes per fingerprint
GRID, EDGE = 40, 2  # pixels: side of the resized image, width of its border
BORDER = EDGE / GRID  # fraction removed on each side for the inner part
FREQUENCIES = 20  # per axis; the lowest BITS of them are used
MIN_CONTRAST = 2.0  # standard deviation, grey levels 0..255; below it, variation is noise of the camera or of JPEG
MAX_NEIGHBOURS = 256  # positions in sorted order within which codes that share a band are compared
BLOCK = 2**14  # pairs of thumbnails compared at once: about 60 MB of temporary memory
WORD_BYTES = 8  # bytes of fingerprints compared at once

MAX_DISTANCE = 24
MIN_SIMILARITY = 0.92


def fingerprint(image: np.ndarray) -> np.ndarray:
    """Perceptual hashes of an image and of its likely copies.  (H, W, 3) uint8 RGB -> (4, BITS / 8) uint8.

    Rows: the image, its mirror, its inner part (without BORDER on each side), the mirror of the inner part.  A bit is 1
    where the windowed image has a positive coefficient of the discrete cosine transform.  A row of zeros marks a flat
    image (contrast below MIN_CONTRAST), which `near_duplicate_pairs` ignores.

    Raises:
        ValueError: the image is not (H, W, 3) uint8.
    """
    pil_image = to_pil_image(image).convert("L")
    views = (pil_image, pil_image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))  # before resizing, like a mirrored file
    grey = [np.asarray(_shrink(one), dtype=np.float32) for one in views]
    inner = [whole[EDGE:-EDGE, EDGE:-EDGE] for whole in grey]
    return np.stack([_hash(part) for part in (*grey, *inner)])


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Colour thumbnail, the input of `similarity`.  (H, W, 3) uint8 RGB -> (20, 20, 3) uint8.

    Raises:
        ValueError: the image is not (H, W, 3) uint8.
    """
    return np.asarray(_shrink(to_pil_image(image)).reduce(2))


def near_duplicate_pairs(fingerprints: np.ndarray, distance: int = MAX_DISTANCE) -> np.ndarray:
    """Find pairs of rows with near fingerprints.  (N, V, W) uint8 -> (P, 2) int64, ascending, i < j.

    The distance of two rows is the minimum Hamming distance between the first code of one and any code of the other.
    Codes are split into bands of 16 bits and compared if they share a band.  Every pair with a distance below the
    number of bands, W / 2, is found; a more distant pair is found unless its codes differ in every band.

    If more than MAX_NEIGHBOURS codes share a band (copies of one image), they are sorted and each is compared with the
    next MAX_NEIGHBOURS: equal codes are still linked in a chain, but some near pairs may be missed at any distance.
    Rows whose first code is all 0 (flat images) are ignored.

    Memory: about 250 bytes per code, N x V codes.

    Raises:
        ValueError: `fingerprints` are not (N, V, W) uint8 with W a multiple of 8, or `distance` is negative.
    """
    if (
        fingerprints.dtype != np.uint8
        or fingerprints.ndim != 3
        or not fingerprints.shape[1]
        or not _is_aligned(fingerprints)
    ):
        raise ValueError(
            f"fingerprints: {fingerprints.shape} {fingerprints.dtype}; pass (N, V, W) uint8 with W a multiple of "
            f"{WORD_BYTES}, stacked from fingerprint"
        )
    if distance < 0:
        raise ValueError(f"{distance=}: negative; pass 0 for equal fingerprints, or more")
    count, views, width = fingerprints.shape
    kept = np.flatnonzero(fingerprints[:, 0].any(axis=1))
    codes = np.ascontiguousarray(fingerprints[kept]).reshape(-1, width)
    rows, first = np.repeat(kept, views), np.tile(np.arange(views) == 0, len(kept))
    order = np.lexsort(codes.view(np.uint64).T[::-1])
    codes, rows, first = codes[order], rows[order], first[order]
    words = codes.view(np.uint64)
    found = np.empty(0, dtype=np.int64)  # i * count + j
    for band in codes.view(np.uint16).T:
        encoded_pairs = [found]
        for left, right in _pairs_in_band(band):
            candidate = (first[left] | first[right]) & (rows[left] != rows[right])
            left, right = left[candidate], right[candidate]
            within = np.bitwise_count(words[left] ^ words[right]).sum(axis=1, dtype=np.int64) <= distance
            one, other = rows[left[within]], rows[right[within]]
            encoded_pairs.append(np.minimum(one, other) * count + np.maximum(one, other))
        found = np.unique(np.concatenate(encoded_pairs))
    return np.stack(np.divmod(found, max(1, count)), axis=1)


def similarity(thumbnails: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Colour similarity of pairs of thumbnails.  (N, 20, 20, 3) uint8, (P, 2) int64 -> (P,) float32, -1..1.

    2 a·b / (|a|² + |b|²) for mean-centred colours a and b: the concordance of L. Lin (Biometrics 45, 1989) without its
    term for the means, so brightness does not matter.  1: equal; twice the contrast: 0.8.  Each thumbnail is compared
    with the other, its mirror, its inner part and the mirror of the inner part; the maximum counts.
    """
    best = np.full(len(pairs), -1, dtype=np.float32)
    for start in range(0, len(pairs), BLOCK):
        left, right = (_views(thumbnails[rows]) for rows in pairs[start : start + BLOCK].T)
        block = best[start : start + BLOCK]
        for one, other in ((left[:, :1], right), (left, right[:, :1])):
            energies = (one**2).sum(axis=2) + (other**2).sum(axis=2)
            scores = 2 * (one * other).sum(axis=2) / np.maximum(energies, 1)  # 1 is far below one grey level per pixel
            np.maximum(block, scores.max(axis=1), out=block)
    return best


def _is_aligned(fingerprints: np.ndarray) -> bool:
    return fingerprints.shape[2] > 0 and fingerprints.shape[2] % WORD_BYTES == 0


def _shrink(pil_image: Image.Image) -> Image.Image:
    return pil_image.resize((GRID, GRID), Image.Resampling.BILINEAR, reducing_gap=3.0)


def _hash(grey: np.ndarray) -> np.ndarray:
    """(S, S) float32 -> (BITS / 8,) uint8; the bits of neighbouring frequencies are in different bands."""
    basis, window, lowest = _dct_basis(len(grey))
    centred = (grey - (grey * window).sum() / window.sum()) * window
    if centred.std() < MIN_CONTRAST * window.std():
        return np.zeros(BITS // 8, dtype=np.uint8)
    signs = (basis @ centred @ basis.T).ravel()[lowest] > 0
    return np.packbits(signs.reshape(16, -1).T, axis=None)


@lru_cache
def _dct_basis(side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(FREQUENCIES, S) cosines, DCT-II; (S, S) window; (BITS,) positions of the lowest non-constant frequencies."""
    centres = (np.arange(side) + 0.5) / side
    basis = np.cos(np.pi * np.arange(FREQUENCIES)[:, None] * centres).astype(np.float32)
    sine = np.sin(np.pi * centres).astype(np.float32)
    rows, columns = np.divmod(np.arange(FREQUENCIES**2), FREQUENCIES)
    return basis, np.outer(sine, sine), np.argsort(rows**2 + columns**2, kind="stable")[1 : BITS + 1]


def _pairs_in_band(band: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield indices of codes that share a band, at most MAX_NEIGHBOURS apart.  (M,) uint16 -> (n,), (n,) int64 each."""
    order = np.argsort(band, kind="stable")
    keys = band[order]
    left = np.arange(len(keys))
    for step in range(1, MAX_NEIGHBOURS + 1):
        left = left[: np.searchsorted(left, len(keys) - step)]
        left = left[keys[left] == keys[left + step]]
        if not len(left):
            return
        yield order[left], order[left + step]


def _views(thumbnails: np.ndarray) -> np.ndarray:
    """Mean-centred colours of the image, its mirror, its inner part and the mirror of the inner part.

    (P, 20, 20, 3) -> (P, 4, 243).
    """
    side = thumbnails.shape[1]
    whole, inner = (np.float32(_pooling_weights(side, border)) for border in (0, BORDER))
    parts = [np.einsum("ay,nyxc,bx->nabc", weights, thumbnails, weights, optimize=True) for weights in (whole, inner)]
    views = np.stack([view for part in parts for view in (part, part[:, :, ::-1])], axis=1)
    views = views.reshape(len(thumbnails), 4, -1)
    return views - views.mean(axis=2, keepdims=True)


@lru_cache
def _pooling_weights(side: int, border: float) -> np.ndarray:
    """(9, side): weights that average pixels over 9 equal parts of the axis inside the border."""
    edges = side * np.linspace(border, 1 - border, 10)
    pixels = np.arange(side)
    overlaps = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.maximum(overlaps, 0) / (edges[1] - edges[0])
