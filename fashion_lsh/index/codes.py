"""Codes: activations -> bits -> packed bytes, and the Hamming distance between them."""

import numpy as np
import torch

BLOCK = 2**22  # pairs of codes compared at once: about 50 MB of scratch


def width(bits: int) -> int:
    """Bytes of one code: ⌈bits/8⌉.

    Raises:
        ValueError: `bits` is below 1.
    """
    if bits < 1:
        raise ValueError(f"{bits=}: a code has at least 1 bit")
    return -(-bits // 8)


def pack(activations: np.ndarray | torch.Tensor, threshold: float = 0.5) -> np.ndarray:
    """Codes: a bit is 1 where the activation is above `threshold`.  (B, bits) float -> (B, ⌈bits/8⌉) uint8.

    Bit i is bit i % 8 of byte i // 8 (little-endian); the padding bits of the last byte are 0.

    Raises:
        ValueError: `activations` are not (B, bits) floats, or one is NaN.
    """
    if isinstance(activations, torch.Tensor):
        kept = activations.detach().cpu()
        activations = kept.float().numpy() if kept.dtype == torch.bfloat16 else kept.numpy()
    if activations.ndim != 2 or not activations.shape[1] or not np.issubdtype(activations.dtype, np.floating):
        raise ValueError(f"activations are {activations.shape} {activations.dtype}: give (B, bits) floats")
    bad = np.isnan(activations).any(axis=1)
    if bad.any():
        raise ValueError(f"activations of row {int(bad.argmax())} hold NaN: no code can be made of them")
    return np.packbits(activations > threshold, axis=1, bitorder="little")


def unpack(codes: np.ndarray, bits: int) -> np.ndarray:
    """The bits of packed codes.  (B, ⌈bits/8⌉) uint8 -> (B, bits) uint8, 0 or 1.

    Raises:
        ValueError: `codes` are not codes of `bits` bits (see `check_codes`).
    """
    check_codes(codes, bits)
    return np.unpackbits(codes, axis=1, count=bits, bitorder="little")


def check_codes(codes: np.ndarray, bits: int) -> None:
    """Hold codes to their contract: (B, ⌈bits/8⌉) uint8, padding bits 0.

    Raises:
        ValueError: type, shape or padding differs; names what was given.
    """
    if codes.dtype != np.uint8 or codes.ndim != 2 or codes.shape[1] != width(bits):
        raise ValueError(
            f"codes are {codes.shape} {codes.dtype}: codes of {bits} bits are (B, {width(bits)}) uint8, made by pack"
        )
    if bits % 8:
        bad = codes[:, -1] >> (bits % 8) != 0
        if bad.any():
            raise ValueError(f"code {int(bad.argmax())} has bits set beyond its {bits}: padding bits must be 0")


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
