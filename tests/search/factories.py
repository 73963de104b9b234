"""Search settings, and the slow twin of SearchPolicy.select_lists."""

from typing import Any

import numpy as np

from fashion_lsh.search.policy import Probes, SearchPolicy

DEFAULTS: Any = {"alpha": 0.5, "min_confidence": 0.0}


def expected_lists(probabilities: np.ndarray, policy: SearchPolicy) -> list[int]:
    """The slow twin of SearchPolicy.select_lists for one query."""
    probes: Probes = policy.probes
    order = sorted(range(len(probabilities)), key=lambda category: (-probabilities[category], category))
    if probes == "all" or probabilities[order[0]] < np.float32(policy.min_confidence):
        return order
    if isinstance(probes, int):
        return order[:probes]
    selected, reached = [], np.float32(0)
    for category in order:
        selected.append(category)
        reached += probabilities[category]
        if reached >= np.float32(probes):
            break
    return selected
