"""Units in which inverted lists are probed: single categories, or groups of categories; excluded categories."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Self

import numpy as np

from fashion_lsh.data.merge.taxonomy import find_group


@dataclass(frozen=True, eq=False)
class ListUnits:
    """Assignment of the inverted lists to units, which are probed as a whole.

    Attributes:
        unit_of_list: (C,) int64, unit of each list; -1 for an excluded list, which is never probed.
    """

    unit_of_list: np.ndarray

    @classmethod
    def from_names(
        cls, categories: Sequence[str], excluded: Sequence[str], groups: Mapping[str, str] | None = None
    ) -> Self:
        """Create units from names.

        Args:
            categories: category of each list.
            excluded: categories that are never probed.
            groups: category -> group, for groups as units; None for single categories.

        Raises:
            ValueError: an excluded category is unknown, or all categories are excluded.
        """
        for name in excluded:
            check_category("search.exclude", name, categories)
        names = [groups[name] if groups else name for name in categories]
        units = list(dict.fromkeys(unit for unit, name in zip(names, categories, strict=True) if name not in excluded))
        if not units:
            raise ValueError(f"search.exclude excludes all {len(categories)} categories; remove one from the list")
        positions = {unit: position for position, unit in enumerate(units)}
        return cls(
            np.array(
                [-1 if name in excluded else positions[unit] for unit, name in zip(names, categories, strict=True)]
            )
        )

    def __len__(self) -> int:
        return int(self.unit_of_list.max()) + 1

    def probabilities(self, probabilities: np.ndarray) -> np.ndarray:
        """Sum the probabilities of each unit's lists, (Q, C) -> (Q, U) float32.

        The sums are divided by the total of the lists that are not excluded: the probability of a unit is that under
        the condition that the category is not excluded. A query of total 0 has equal probabilities, or only zeros if
        all its probabilities are 0 (no detection).
        """
        is_member = self.unit_of_list == np.arange(len(self))[:, None]  # (U, C)
        sums = probabilities.astype(np.float64) @ is_member.T
        totals = sums.sum(axis=1, keepdims=True)
        conditional = np.where(totals > 0, sums / np.where(totals > 0, totals, 1), 1 / len(self))
        return np.where(probabilities.any(axis=1, keepdims=True), conditional, 0).astype(np.float32)

    def lists(self, units: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """Lists of the selected units, ordered by unit, then by descending probability, then by list.

        Args:
            units: (Q, U) int64, selected units in the order of probing, padded with -1.
            probabilities: (Q, C).

        Returns:
            (Q, C) int64 list ids, padded with -1.
        """
        ranks = np.full((len(units), len(self) + 1), len(self))  # the last column belongs to no unit and unit -1
        np.put_along_axis(ranks, units, np.arange(len(self))[None], axis=1)
        ranks[:, -1] = len(self)
        list_ranks = ranks[:, self.unit_of_list]  # excluded lists select the last column
        order = np.lexsort((-probabilities, list_ranks))
        return np.where(np.take_along_axis(list_ranks, order, axis=1) < len(self), order, -1)


def resolve_groups(categories: Sequence[str], groups: Mapping[str, Sequence[str]] | None) -> dict[str, str]:
    """Look up the group of each category in `groups`, group -> categories, or in the built-in taxonomy and label maps.

    Raises:
        ValueError: a name in `groups` is not a category or is in two groups, or a category has no group.
    """
    group_of: dict[str, str] = {}
    for group, names in (groups or {}).items():
        for name in names:
            check_category(f"search.groups.{group}", name, categories)
            if group_of.setdefault(name, group) != group:
                raise ValueError(f"search.groups: {name!r} is in {group_of[name]!r} and in {group!r}; remove one")
    group_of |= {name: find_group(name) for name in categories if name not in group_of}
    if missing := [name for name in categories if not group_of[name]]:
        example = "{" + f"my-group: [{', '.join(missing[:3])}]" + "}"
        raise ValueError(
            f"search.by=group: {len(missing)} of {len(categories)} categories have no group, for example "
            f"{missing[0]!r}; set search.groups, for example to {example}, or search.by=category"
        )
    return group_of


def check_category(key: str, name: str, categories: Sequence[str]) -> None:
    """Check that a name is a category of the model.

    Raises:
        ValueError: the name is unknown; the message lists near matches, or all categories.
    """
    if name not in categories:
        similar = get_close_matches(name, categories, cutoff=0.5) or categories
        raise ValueError(f"{key}: unknown category {name!r}; use one of {', '.join(similar)}")
