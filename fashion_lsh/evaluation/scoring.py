"""Score a search: relevance by category and item, and expectations over ties."""

from collections.abc import Callable, Sequence

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.index.asymmetric import asymmetric
from fashion_lsh.index.distances import hamming
from fashion_lsh.metrics.ranking import ALL, CUTOFFS, Scores, block_slices, concatenate_scores
from fashion_lsh.metrics.reranking import Candidates, find_candidates, score_candidates
from fashion_lsh.metrics.retrieval import Relevance, score_codes, score_distances, score_hits
from fashion_lsh.models.encoding import Encoded
from fashion_lsh.search.prefixes import asymmetric_queries, prefix_queries
from fashion_lsh.search.rerank import euclidean_to_rows
from fashion_lsh.search.searcher import Searcher


def relevance_by_column(
    query: Catalogue, gallery: Catalogue, not_indexed: Catalogue | None = None
) -> dict[str, Relevance]:
    """Relevance by `category` and, if a query has a relevant item, by `item`; see Relevance for `not_indexed`."""
    by_column = {
        name: Relevance.from_names(
            query.column(name), gallery.column(name), None if not_indexed is None else not_indexed.column(name)
        )
        for name in ("category", "item")
    }
    return by_column if by_column["item"].totals.any() else {"category": by_column["category"]}


def score_search(searcher: Searcher, query: Encoded, relevance: Relevance, cutoffs: Sequence[int] = CUTOFFS) -> Scores:
    """Score Q queries under the policy of the searcher: (Q,) by metric and cutoff rank.

    Ties of Hamming distances count by their expectation: all tied rows with `hamming`, and with `rerank` the rows that
    are tied at the largest Hamming distance of the candidates. Ties of the asymmetric distance, which equal codes have,
    count by their expectation, too, but not after re-ranking. Other distances are scored by their hits.

    Args:
        searcher: model, gallery and policy.
        query: Q encoded queries.
        relevance: relevance of the gallery rows to the queries.
        cutoffs: cutoff ranks, ALL for all rows that the search reaches.
    """
    policy, codes = searcher.policy, searcher.gallery.codes
    query = prefix_queries(query, policy.bits)
    lists = policy.select_lists(query.probabilities)
    find_probed = probed_rows(lists, searcher.gallery.lists)
    if policy.distance == "hamming" and query.codes is not None and codes is not None:
        return score_codes(query.codes, codes, relevance, find_probed, cutoffs)
    blocks = [np.s_[:0], *block_slices(len(lists), len(searcher.gallery))]
    score = _score_candidates if policy.distance == "rerank" and policy.own_reranker is None else _score_hits
    score = _score_asymmetric if policy.distance == "asymmetric" else score
    return concatenate_scores([score(searcher, query.take(block), lists[block], relevance.take(block), cutoffs)
                               for block in blocks])  # fmt: skip


def probed_rows(lists: np.ndarray, row_lists: np.ndarray) -> Callable[[slice], np.ndarray]:
    """Function of a slice of the queries that marks the rows in probed lists, (q, N) bool.

    lists: (Q, C) int, probed lists of each query, padded with -1; row_lists: (N,) int, list of each gallery row.
    """

    def find_probed(block: slice) -> np.ndarray:
        is_probed = np.zeros((len(lists[block]), row_lists.max(initial=0) + 2), dtype=bool)
        # lists without rows, and -1, set the last column, which no row selects
        np.put_along_axis(is_probed, np.minimum(lists[block], is_probed.shape[1] - 1), True, axis=1)
        return np.asarray(is_probed[:, row_lists])

    return find_probed


def _score_hits(
    searcher: Searcher, query: Encoded, lists: np.ndarray, relevance: Relevance, cutoffs: Sequence[int]
) -> Scores:
    """Score the hits of a search, as many as the largest cutoff rank needs."""
    if searcher.policy.own_reranker is not None:
        candidates = searcher.candidates(query, lists, 1)
        hits = searcher.rerank(query, candidates, candidates.rows.shape[1])
    else:
        num_probed = searcher.num_probed_rows(lists).max(initial=1)
        hits = searcher.search_lists(query, lists, int(num_probed if ALL in cutoffs else min(max(cutoffs), num_probed)))
    return score_hits(hits, relevance, cutoffs)


def _score_asymmetric(
    searcher: Searcher, query: Encoded, lists: np.ndarray, relevance: Relevance, cutoffs: Sequence[int]
) -> Scores:
    """Expected scores over all orders of rows at equal asymmetric distance."""
    codes = searcher.gallery.codes
    assert codes is not None
    distances = asymmetric(asymmetric_queries(query), codes)
    levels = np.zeros(distances.shape, dtype=np.int64)  # rank of each distance among the distinct distances of a query
    for row, row_levels in zip(distances, levels, strict=True):
        row_levels[:] = np.unique(row, return_inverse=True)[1]
    find_probed = probed_rows(lists, searcher.gallery.lists)
    return score_distances(levels.__getitem__, int(levels.max(initial=0)) + 1, relevance, find_probed, cutoffs)


def _score_candidates(
    searcher: Searcher, query: Encoded, lists: np.ndarray, relevance: Relevance, cutoffs: Sequence[int]
) -> Scores:
    """Expected scores over all choices of the candidates that are tied at the largest Hamming distance."""
    gallery, policy = searcher.gallery, searcher.policy
    assert query.codes is not None
    assert gallery.codes is not None
    is_probed = probed_rows(lists, gallery.lists)(np.s_[:])
    is_relevant = relevance.is_relevant(np.s_[:])
    candidates = []
    for row, count in enumerate(policy.num_candidates(searcher.num_probed_rows(lists))):
        probed = np.flatnonzero(is_probed[row])
        found, is_edge, num_drawn = find_candidates(hamming(query.codes[[row]], gallery.codes[probed])[0], int(count))
        rows = probed[found]
        if policy.rerank_by == "asymmetric":
            distances = asymmetric(asymmetric_queries(query)[[row]], gallery.codes[rows])[0]
        else:
            distances = euclidean_to_rows(query.embeddings[[row]], gallery.rows[rows][None], gallery.embeddings)[0]
        order = np.lexsort((rows, distances))
        candidates.append(Candidates(is_relevant[row, rows[order]], is_edge[order], num_drawn))
    return score_candidates(candidates, relevance.totals, cutoffs)
