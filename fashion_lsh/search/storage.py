"""Bytes that a search stores per garment."""

from fashion_lsh.index.codes import stored_code_bytes
from fashion_lsh.search.policy import SearchPolicy


def storage_bytes(policy: SearchPolicy, bits: int | None, embedding_dim: int) -> dict[str, int]:
    """Bytes per garment: code, row id in the inverted list, and embedding (float32 if searched, float16 to re-rank).

    Args:
        policy: search policy, whose distance determines what is stored.
        bits: code length; None without codes.
        embedding_dim: length of the embedding.
    """
    code = stored_code_bytes(policy.bits or bits) if policy.uses_codes and bits else 0
    embedding = (2 if policy.uses_codes else 4) * embedding_dim if policy.uses_embeddings else 0
    return {"code bytes": code, "row bytes": 8, "embedding bytes": embedding, "bytes": code + 8 + embedding}
