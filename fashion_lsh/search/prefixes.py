"""Search by the first bits of the codes."""

import numpy as np

from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.index.codes import code_prefix
from fashion_lsh.index.indexes import HashIndex
from fashion_lsh.models.encoding import Encoded


def prefix_gallery(gallery: Gallery, bits: int | None) -> Gallery:
    """Create a gallery of the first `bits` bits of the codes, which shares embeddings and catalogue.

    None: the gallery itself; so is a gallery without codes.
    """
    if bits is None or not isinstance(gallery.index, HashIndex):
        return gallery
    rows, list_ids, codes = gallery.index.contents()
    index = HashIndex(bits, gallery.index.num_lists)
    index.add(code_prefix(codes, bits), list_ids, rows)
    return Gallery(index, gallery.embeddings, gallery.catalogue, gallery.fingerprint, gallery.pending_keys)


def prefix_queries(queries: Encoded, bits: int | None) -> Encoded:
    """Queries with the first `bits` bits of their codes and activations; None: the queries themselves."""
    if bits is None or queries.codes is None:
        return queries
    activations = None if queries.activations is None else queries.activations[:, :bits]
    return queries._replace(codes=code_prefix(queries.codes, bits), activations=activations)


def asymmetric_queries(queries: Encoded) -> np.ndarray:
    """Activations of the queries minus the threshold, (Q, bits) float32.

    Raises:
        ValueError: the queries were stored without activations.
    """
    if queries.activations is None:
        raise ValueError("queries.activations=None: the asymmetric distance needs them; encode the images again")
    return queries.activations
