"""Binary codes: activations -> bits -> packed bytes."""

import numpy as np


def width(bits: int) -> int:
    """Bytes of one code: ⌈bits/8⌉.

    Raises:
        ValueError: `bits` is below 1.
    """
    if bits < 1:
        raise ValueError(f"{bits=}: a code has at least 1 bit")
    return -(-bits // 8)


def pack(activations: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Codes: a bit is 1 where the activation is above `threshold`.  (B, bits) float -> (B, ⌈bits/8⌉) uint8.

    Bit i is bit i % 8 of byte i // 8 (little-endian); the padding bits of the last byte are 0.

    Raises:
        ValueError: `activations` are not (B, bits) floats, or one is NaN.
    """
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
