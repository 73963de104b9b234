"""Hamming distance between packed codes, and Euclidean distance between embeddings."""

import numpy as np

from fashion_lsh.index.codes import pad_codes

BLOCK = 2**22  # number of code pairs compared at once; the temporary arrays then take about 50 MB


def hamming(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Hamming distance of packed codes.  queries (Q, W) uint8, gallery (N, W) uint8 -> (Q, N) int16, 0..bits.

    Raises:
        ValueError: an argument is not (B, W) uint8, W differs, or W is above 4,095 (int16 would overflow).
    """
    for name, codes in (("queries", queries), ("gallery", gallery)):
        if codes.dtype != np.uint8 or codes.ndim != 2:
            raise ValueError(
                f"{name} has shape {codes.shape} and dtype {codes.dtype}; pass (B, W) uint8 codes, made by pack"
            )
    if queries.shape[1] != gallery.shape[1] or queries.shape[1] > 4095:
        raise ValueError(
            f"queries has codes of {queries.shape[1]} bytes, gallery of {gallery.shape[1]} bytes; "
            "pass codes of the same size, at most 4095 bytes"
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
    """View zero-padded codes as 64-bit words.  (B, W) uint8 -> (⌈W/8⌉, B) uint64."""
    return np.ascontiguousarray(pad_codes(codes, -(-codes.shape[1] // 8) * 8).view(np.uint64).T)


def euclidean(queries: np.ndarray, candidate_embeddings: np.ndarray) -> np.ndarray:
    """Euclidean distance of each query to its own candidates; 0..2 for L2-normalised vectors.

    Squared differences are summed in float32, without dot products, so that equal vectors have distance exactly 0.

    Args:
        queries: (Q, D) float.
        candidate_embeddings: (Q, S, D) float.

    Returns:
        (Q, S) float32.

    Raises:
        ValueError: the shapes do not match.
    """
    if queries.ndim != 2 or candidate_embeddings.ndim != 3 or queries.shape != candidate_embeddings.shape[::2]:
        raise ValueError(
            f"queries has shape {queries.shape}, candidate_embeddings {candidate_embeddings.shape}; "
            "pass (Q, D) and (Q, S, D)"
        )
    differences = candidate_embeddings.astype(np.float32, order="C")
    differences -= queries.astype(np.float32)[:, None]
    squares: np.ndarray = np.einsum("qsd,qsd->qs", differences, differences)
    return np.asarray(np.sqrt(squares))
