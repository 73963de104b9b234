"""Bytes per garment equal the sizes of the indexes."""

import numpy as np
import pytest

from fashion_lsh.index.codes import stored_code_bytes
from fashion_lsh.index.indexes import FloatIndex, HashIndex
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.storage import storage_bytes


@pytest.mark.parametrize(("bits", "length"), [(1, 3), (48, 256), (65, 7)])
def test_storage_bytes_equal_the_bytes_of_the_indexes(bits: int, length: int) -> None:
    codes, floats = HashIndex(bits, 2), FloatIndex(length, 2)
    codes.add(np.zeros((5, -(-bits // 8)), np.uint8), np.zeros(5, np.int64), np.arange(5))
    floats.add(np.zeros((5, length), np.float32), np.zeros(5, np.int64), np.arange(5))
    policies = SearchPolicy("hamming"), SearchPolicy("asymmetric"), SearchPolicy("euclidean")
    for policy, index in zip(policies, (codes, codes, floats), strict=True):
        stored, size = storage_bytes(policy, bits, length), index.stats()
        assert 5 * (stored["code bytes"] + stored["embedding bytes"]) == size.vector_bytes
        assert 5 * stored["row bytes"] == size.row_bytes
    assert storage_bytes(SearchPolicy("rerank"), bits, length)["bytes"] == stored_code_bytes(bits) + 8 + 2 * length
    by_codes = storage_bytes(SearchPolicy("rerank", rerank_by="asymmetric"), bits, length)
    assert by_codes["bytes"] == stored_code_bytes(bits) + 8


def test_a_search_without_codes_stores_embeddings() -> None:
    assert storage_bytes(SearchPolicy("euclidean"), None, 256)["bytes"] == 8 + 4 * 256
