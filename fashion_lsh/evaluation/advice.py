"""Choose code and search by score, bytes per garment and time: Pareto front, and best in a budget."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

NUM_REFINED = 2  # number of methods whose other code lengths are tried

Measure = Callable[[Any, int], "list[Candidate]"]  # method, code length -> measured searches


@dataclass(frozen=True)
class Candidate:
    """A measured combination of encoder, code and search.

    Attributes:
        backbone: name of the encoder.
        hash: name of the hash stage.
        bits: code length.
        search: settings of the search policy: `distance`, `nprobe`, and others of this distance.
        label: method and scope of the search.
        score: item recall@10 or category precision@10 on val, 0..1.
        num_bytes: stored bytes per garment: code, id and, if the search uses it, embedding.
        milliseconds: median time of the search with one query.
    """

    backbone: str
    hash: str
    bits: int
    search: dict[str, Any]
    label: str
    score: float
    num_bytes: int
    milliseconds: float


class Budget(NamedTuple):
    """Maximum bytes per garment and milliseconds per query."""

    num_bytes: float
    milliseconds: float

    def admits(self, candidate: Candidate) -> bool:
        """Return whether the candidate is within the budget."""
        return candidate.num_bytes <= self.num_bytes and candidate.milliseconds <= self.milliseconds

    def excess(self, candidate: Candidate) -> float:
        """Larger ratio of bytes or milliseconds to the budget; at most 1 within the budget."""
        return max(candidate.num_bytes / self.num_bytes, candidate.milliseconds / self.milliseconds)


def pareto_front(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Candidates that no other one equals or exceeds in score, bytes and time, and exceeds in one of them.

    Of equal candidates the first is kept. Sorted by bytes, then score.
    """
    front = []
    for position, candidate in enumerate(candidates):
        is_dominated = any(_exceeds(other, candidate) for other in candidates)
        is_repeated = any(_costs(other) == _costs(candidate) for other in candidates[:position])
        if not is_dominated and not is_repeated:
            front.append(candidate)
    return sorted(front, key=lambda each: (each.num_bytes, each.score, each.milliseconds))


def _costs(candidate: Candidate) -> tuple[float, float, float]:
    """Negative score, bytes and time."""
    return -candidate.score, candidate.num_bytes, candidate.milliseconds


def _exceeds(one: Candidate, other: Candidate) -> bool:
    """Return whether `one` is at least as good in all costs, and better in one."""
    costs = _costs(one), _costs(other)
    return costs[0] != costs[1] and all(left <= right for left, right in zip(*costs, strict=True))


def choose(candidates: Iterable[Candidate], budget: Budget) -> Candidate | None:
    """Candidate with the highest score within the budget, then fewest bytes and shortest time; None if none."""
    admitted = [each for each in candidates if budget.admits(each)]
    return min(admitted, key=_costs, default=None)


def nearest(candidates: Iterable[Candidate], budget: Budget) -> Candidate:
    """Candidate that exceeds the budget least.

    Raises:
        ValueError: there is no candidate.
    """
    return min(candidates, key=budget.excess)


def search_methods(
    methods: Sequence[Hashable], lengths: Sequence[int], measure: Measure, budget: Budget, pilot: int, is_full: bool
) -> list[Candidate]:
    """Measure methods at one code length, and the best NUM_REFINED of them at the other lengths.

    Args:
        methods: methods to compare.
        lengths: code lengths, ascending.
        measure: function of method and code length that returns measured candidates, possibly none.
        budget: budget within which the methods are compared.
        pilot: the first length is the largest one up to `pilot`, or the smallest.
        is_full: whether all methods are measured at all lengths.
    """
    first = max((length for length in lengths if length <= pilot), default=lengths[0])
    found = {method: measure(method, first) for method in methods}

    def best_score(method: Hashable) -> float:
        best = choose(found[method], budget)
        return -1.0 if best is None else best.score

    ranked = sorted(methods, key=best_score, reverse=True)  # stable
    candidates = [each for method in methods for each in found[method]]
    for method in methods if is_full else ranked[:NUM_REFINED]:
        for length in lengths:
            candidates += measure(method, length) if length != first else []
    return candidates
