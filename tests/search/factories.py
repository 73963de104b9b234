"""Search settings, and the slow twin of Search.lists."""

from typing import Any

import numpy as np

from fashion_lsh.search.policy import Probes, Search

PLAIN: Any = {"alpha": 0.5, "whole_below": 0.0}


def lists_of(masses: np.ndarray, search: Search) -> list[int]:
    """The slow twin of Search.lists for one query."""
    probes: Probes = search.probes
    order = sorted(range(len(masses)), key=lambda category: (-masses[category], category))
    if probes == "all" or masses[order[0]] < np.float32(search.whole_below):
        return order
    if isinstance(probes, int):
        return order[:probes]
    taken, reached = [], np.float32(0)
    for category in order:
        taken.append(category)
        reached += masses[category]
        if reached >= np.float32(probes):
            break
    return taken
