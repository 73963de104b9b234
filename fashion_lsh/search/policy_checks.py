"""Check the settings of a search policy, alone and together."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fashion_lsh.search.policy import SearchPolicy

log = logging.getLogger(__name__)


def check_policy(policy: "SearchPolicy", bits: int | None, num_categories: int) -> None:
    """Check a policy for a model; arguments and errors as for `SearchPolicy.check`."""
    if policy.nprobe != "all" and not 1 <= policy.nprobe <= num_categories:
        raise ValueError(
            f"search.nprobe={policy.nprobe}: there are {num_categories} categories; set 1 to {num_categories}, or all"
        )
    if policy.min_probability is not None and not 0 < policy.min_probability < 1:
        raise ValueError(
            f"search.min_probability={policy.min_probability}: out of range; set a number between 0 and 1, or null"
        )
    if policy.coverage is not None:
        _check_coverage(policy, policy.coverage)
    if not (0 < policy.rerank_k < 1 or (isinstance(policy.rerank_k, int) and policy.rerank_k >= 1)):
        raise ValueError(f"search.rerank_k={policy.rerank_k}: out of range; set 1 or more, or a fraction below 1")
    for name, value in (("alpha", policy.alpha), ("min_confidence", policy.min_confidence)):
        if not 0 <= value <= 1:
            raise ValueError(f"search.{name}={value}: out of range; set a number from 0 to 1")
    if policy.rerank_by != "euclidean" and policy.reranker is not None:
        raise ValueError(
            f"search.rerank_by={policy.rerank_by}: search.reranker={policy.reranker!r} re-ranks instead; "
            "set only one of them"
        )
    policy.check_auto_distance()
    if isinstance(policy.max_distance, float | int) and not policy.max_distance >= 0:
        raise ValueError(f"search.max_distance={policy.max_distance}: out of range; set 0 or more, auto or null")
    if bits is None and policy.distance != "euclidean":
        raise ValueError(f"search={policy.distance} needs codes, but hash=none has none; set search=euclidean")
    if policy.bits is not None:
        _check_bits(policy.bits, policy.distance, bits or 0)


def _check_bits(prefix: int, distance: str, bits: int) -> None:
    if distance == "euclidean":
        raise ValueError(
            f"search.bits={prefix} with search=euclidean: embeddings have no bits; set search=hamming, "
            "search=asymmetric or search.bits=null"
        )
    if not 1 <= prefix <= bits:
        raise ValueError(f"search.bits={prefix}: the codes have {bits} bits (hash.bits); set 1 to {bits}, or null")


def log_untrained_prefix(policy: "SearchPolicy", bits: int | None, prefixes: Sequence[int] | None) -> None:
    """Log a warning if a search compares a prefix of the codes that was not trained to be a code (`hash.prefixes`).

    Args:
        policy: search policy.
        bits: code length, if known.
        prefixes: lengths of trained prefixes.
    """
    if policy.bits is not None and policy.bits not in (bits, *(prefixes or ())):
        trained = ", ".join(map(str, prefixes)) if prefixes else "none"
        log.warning("search.bits=%d: not the length of a trained prefix (hash.prefixes: %s); a code of this length may "
                    "have a higher recall", policy.bits, trained)  # fmt: skip


def _check_coverage(policy: "SearchPolicy", coverage: float) -> None:
    if not 0 < coverage < 1:
        raise ValueError(f"search.coverage={coverage}: out of range; set a number between 0 and 1, or null")
    if policy.nprobe == "all":
        raise ValueError(f"search.coverage={coverage} with search.nprobe=all: set only one of them")
    if policy.by == "group" or policy.exclude:
        raise ValueError(
            f"search.coverage={coverage} with search.by={policy.by}, search.exclude={policy.exclude}: calibrated for "
            "all single lists; set search.by=category and search.exclude=null, or search.coverage=null "
            "(in a command: --nprobe N)"
        )
    if policy.min_probability is not None:
        raise ValueError(
            f"search.coverage={coverage} with search.min_probability={policy.min_probability}: set only one of them"
        )
