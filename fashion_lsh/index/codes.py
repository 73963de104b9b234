"""Pack activations into binary codes, unpack codes, and validate codes."""

import numpy as np

# Code sizes in bytes with a specialised FAISS loop, which is 3 to 10 times as fast as the loop for other sizes.
FAST_CODE_SIZES = (4, 8, 16, 20, 32)


def code_bytes(bits: int) -> int:
    """Size of a packed code in bytes: ⌈bits/8⌉.

    Raises:
        ValueError: `bits` is below 1.
    """
    if bits < 1:
        raise ValueError(f"{bits=}: a code needs at least 1 bit; pass 1 or more")
    return -(-bits // 8)


def pack(activations: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Pack activations: a bit is 1 where the activation is above `threshold`.

    activations (B, bits) float -> codes (B, ⌈bits/8⌉) uint8. Bit i is bit i % 8 of byte i // 8 (little-endian); the
    padding bits of the last byte are 0.

    Raises:
        ValueError: `activations` is not (B, bits) float, or contains NaN.
    """
    if activations.ndim != 2 or not activations.shape[1] or not np.issubdtype(activations.dtype, np.floating):
        raise ValueError(
            f"activations has shape {activations.shape} and dtype {activations.dtype}; pass (B, bits) floats"
        )
    has_nan = np.isnan(activations).any(axis=1)
    if has_nan.any():
        raise ValueError(f"activations[{int(has_nan.argmax())}] contains NaN; check the model's input and weights")
    return np.packbits(activations > threshold, axis=1, bitorder="little")


def unpack(codes: np.ndarray, bits: int) -> np.ndarray:
    """Unpack codes into bits.  codes (B, ⌈bits/8⌉) uint8 -> bits (B, bits) uint8, 0 or 1.

    Raises:
        ValueError: `codes` are not valid codes of `bits` bits (see `check_codes`).
    """
    check_codes(codes, bits)
    return np.unpackbits(codes, axis=1, count=bits, bitorder="little")


def code_prefix(codes: np.ndarray, bits: int) -> np.ndarray:
    """First bits of packed codes.  codes (B, W) uint8 -> (B, ⌈bits/8⌉) uint8, padding bits 0.

    Raises:
        ValueError: the codes have fewer than `bits` bits, or `bits` is below 1.
    """
    if code_bytes(bits) > codes.shape[1]:
        raise ValueError(f"{bits=}: the codes have at most {8 * codes.shape[1]} bits; pass at most as many")
    prefix = codes[:, : code_bytes(bits)]
    if bits % 8:
        prefix = prefix.copy()
        prefix[:, -1] &= (1 << bits % 8) - 1
    return prefix


def check_codes(codes: np.ndarray, bits: int) -> None:
    """Validate packed codes: (B, ⌈bits/8⌉) uint8, padding bits 0.

    Raises:
        ValueError: `codes` has another dtype or shape, or a padding bit is 1.
    """
    if codes.dtype != np.uint8 or codes.ndim != 2 or codes.shape[1] != code_bytes(bits):
        raise ValueError(
            f"codes has shape {codes.shape} and dtype {codes.dtype}; "
            f"pass (B, {code_bytes(bits)}) uint8 codes of {bits} bits, made by pack"
        )
    if bits % 8:
        invalid = np.flatnonzero(codes[:, -1] >> (bits % 8))
        if len(invalid):
            raise ValueError(
                f"codes[{invalid[0]}] has padding bits set beyond its {bits} bits; pass codes made by pack"
            )


def stored_code_bytes(bits: int) -> int:
    """Size of a stored, zero-padded code in bytes: the next of FAST_CODE_SIZES, or above 32 bytes a multiple of 8."""
    return next((size for size in FAST_CODE_SIZES if code_bytes(bits) <= size), -(-bits // 64) * 8)


def pad_codes(codes: np.ndarray, size: int) -> np.ndarray:
    """Zero-pad codes.  codes (B, W) uint8 -> (B, size) uint8, contiguous; no copy if they have this size already."""
    if codes.shape[1] == size:
        return np.ascontiguousarray(codes)
    padded = np.zeros((len(codes), size), dtype=np.uint8)
    padded[:, : codes.shape[1]] = codes
    return padded
