"""Choice of code and search: Pareto front, budget, and the cheaper search against that of all methods."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashion_lsh.evaluation.advice import Budget, Candidate, choose, nearest, pareto_front, search_methods


def candidate(score: float, num_bytes: int, milliseconds: float, name: str = "lsh", bits: int = 64) -> Candidate:
    return Candidate("resnet18", name, bits, {"distance": "hamming"}, "hamming, 1 list", score, num_bytes, milliseconds)


VALUES = st.builds(candidate, st.sampled_from([0.1, 0.2, 0.3]), st.integers(1, 3), st.sampled_from([0.5, 1.0, 2.0]))


def is_better(one: Candidate, other: Candidate) -> bool:
    gains = (one.score - other.score, other.num_bytes - one.num_bytes, other.milliseconds - one.milliseconds)
    return min(gains) >= 0 and max(gains) > 0


@given(st.lists(VALUES, max_size=12))
def test_front_has_exactly_the_candidates_that_none_exceeds(candidates: list[Candidate]) -> None:
    front = pareto_front(candidates)
    best = [each for each in candidates if not any(is_better(other, each) for other in candidates)]
    assert all(each in best for each in front)
    assert all(each in front for each in best)
    assert all(front.count(each) == 1 for each in front)


@given(st.lists(VALUES, min_size=1, max_size=12), st.builds(Budget, st.integers(1, 3), st.sampled_from([0.5, 1.0])))
def test_choice_is_on_the_front_of_the_budget(candidates: list[Candidate], budget: Budget) -> None:
    chosen = choose(candidates, budget)
    admitted = [each for each in candidates if budget.excess(each) <= 1]
    assert (chosen is None) == (not admitted)
    if chosen:
        assert chosen.score == max(each.score for each in admitted)
        assert chosen in pareto_front(admitted)
    else:
        closest = nearest(candidates, budget)
        assert budget.excess(closest) == min(map(budget.excess, candidates)) > 1


def test_only_the_best_methods_are_tried_at_other_lengths() -> None:
    calls: list[tuple[str, int]] = []

    def measure(name: str, bits: int) -> list[Candidate]:
        calls.append((name, bits))
        score = {"a": 0.3, "b": 0.5, "c": 0.4, "d": 0.9}[name] + bits / 1000
        return [] if name == "a" else [candidate(score, 100 if name == "d" else 10, 1, name, bits)]

    found = search_methods("abcd", [32, 64, 128], measure, Budget(32, 5), pilot=64, is_full=False)
    assert calls == [*((name, 64) for name in "abcd"), *((name, bits) for name in "bc" for bits in (32, 128))]
    best = choose(found, Budget(32, 5))
    assert best is not None
    assert (best.hash, best.bits) == ("b", 128)
    full = search_methods("abcd", [32, 64, 128], measure, Budget(32, 5), pilot=16, is_full=True)
    assert len(full) == 9
    assert choose(full, Budget(32, 5)) == best


def test_there_is_no_nearest_of_nothing() -> None:
    with pytest.raises(ValueError, match="empty"):
        nearest([], Budget(32, 5))
