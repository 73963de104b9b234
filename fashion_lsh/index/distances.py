"""Hamming distance between packed codes, Euclidean distance between embeddings."""

import numpy as np

BLOCK = 2**22  # pairs of codes compared at once: about 50 MB of scratch


def hamming(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Bits that differ.  (Q, W) and (N, W) uint8, packed -> (Q, N) int16, 0..bits.

    Raises:
        ValueError: either is not (B, W) uint8, their widths differ, or W is above 4,095 (int16 would overflow).
    """
    for name, codes in (("queries", queries), ("gallery", gallery)):
        if codes.dtype != np.uint8 or codes.ndim != 2:
            raise ValueError(f"{name} are {codes.shape} {codes.dtype}: give (B, W) uint8 codes, made by pack")
    if queries.shape[1] != gallery.shape[1] or queries.shape[1] > 4095:
        raise ValueError(
            f"queries are {queries.shape[1]} bytes wide, the gallery {gallery.shape[1]}: "
            "give codes of one width, at most 4095 bytes"
        )
    query_words, gallery_words = _words(queries), _words(gallery)  # (W', Q), (W', N)
    distances = np.zeros((len(queries), len(gallery)), dtype=np.int16)
    step = max(1, BLOCK // max(1, len(gallery)))
    for start in range(0, len(queries), step):
        block = distances[start : start + step]
        for query_word, gallery_word in zip(query_words, gallery_words, strict=True):
            block += np.bitwise_count(query_word[start : start + step, None] ^ gallery_word)
    return distances


def _words(codes: np.ndarray) -> np.ndarray:
    """Codes as 64-bit words, zeros at the end.  (B, W) uint8 -> (⌈W/8⌉, B) uint64."""
    padded = np.pad(codes, ((0, 0), (0, -codes.shape[1] % 8)))
    return np.ascontiguousarray(np.ascontiguousarray(padded).view(np.uint64).T)


def euclidean(queries: np.ndarray, candidate_embeddings: np.ndarray) -> np.ndarray:
    """Euclidean distance of each query to its own rows, 0..2 where all are L2-normalised.

    Differences are squared and summed in float32, never by dot products: equal vectors are at exactly 0.

    Args:
        queries: (Q, D) float.
        candidate_embeddings: (Q, S, D) float.

    Returns:
        (Q, S) float32.

    Raises:
        ValueError: the shapes do not belong together.
    """
    if queries.ndim != 2 or candidate_embeddings.ndim != 3 or queries.shape != candidate_embeddings.shape[::2]:
        raise ValueError(
            f"queries are {queries.shape}, their rows' embeddings {candidate_embeddings.shape}: give (Q, D) "
            "and (Q, S, D)"
        )
    differences = candidate_embeddings.astype(np.float32, order="C")
    differences -= queries.astype(np.float32)[:, None]
    squares: np.ndarray = np.einsum("qsd,qsd->qs", differences, differences)
    return np.asarray(np.sqrt(squares))
