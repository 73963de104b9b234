"""Queries that the search of a run finds and another method does not, and the other way round."""

import numpy as np

from fashion_lsh.report.blocks import Block, Table, Text
from fashion_lsh.report.example_images import ExampleImages
from fashion_lsh.report.overlap import CRITERIA, FOUND_TEXT, Criterion, Side, overlap, overlap_sheets
from fashion_lsh.report.run_data import RunData, relevant_garments

IGNORED = "random"  # finds no query by the definition of a found query


def found(run_data: RunData, images: ExampleImages) -> list[Block]:
    """Count the queries found by the run's own search and by each other method; show examples for one of them."""
    own = Side("the search of this run", run_data.queries, images)
    others = [
        Side(f"{method} ({scope})", table, images)
        for (method, scope), table in run_data.other_queries.items()
        if method != IGNORED
    ]
    criteria = {title: each for title, each in CRITERIA.items() if not np.isnan(own.scores(each.found)).all()}
    if not others or not criteria:
        return [Text("Skipped: no other method was evaluated, or no query has a relevant garment.", note=True)]
    blocks: list[Block] = [Text(FOUND_TEXT)]
    for title, criterion in criteria.items():
        rows = [[side.name, *_overlap_cells(own, side, criterion)] for side in others]
        columns = [f"{title}: other method", "found by both", "only by this run", "only by the other", "by neither"]
        blocks.append(Table(columns, rows))
    criterion = next(iter(criteria.values()))
    if other := _select_other(own, others, criterion):
        relevant = relevant_garments(run_data) if criterion.found.startswith("item/") else {}
        blocks += overlap_sheets(own, other, criterion, relevant)
    return [*blocks, *images.note()]


def _overlap_cells(own: Side, other: Side, criterion: Criterion) -> list[str]:
    return overlap(own.scores(criterion.found), other.scores(criterion.found)).cells()


def _select_other(own: Side, others: list[Side], criterion: Criterion) -> Side | None:
    """Select the method for the examples: with hits in the table, if any, and with the highest recall.

    Methods that find the same queries are ignored; None if all do.
    """
    different = []
    for side in others:
        groups = overlap(own.scores(criterion.found), side.scores(criterion.found))
        if len(groups.only_first) or len(groups.only_second):
            different.append(side)
    return max(different, key=lambda side: (side.has_hits, np.nanmean(side.scores(criterion.found))), default=None)
