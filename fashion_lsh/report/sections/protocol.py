"""Official scores of a published protocol, beside published scores."""

from fashion_lsh.evaluation.published import PROTOCOLS
from fashion_lsh.metrics.results import SEARCH
from fashion_lsh.report.blocks import Block, Table, Text
from fashion_lsh.report.run_data import RunData
from fashion_lsh.report.tables import protocol_rows

PUBLISHED_NOTE = (
    "Rows marked “not run here” are copied from the publications named in the row. They were not computed with this "
    "project: training data, image size and search differ."
)
PARTIAL_NOTE = (
    "The run was allowed to use an incomplete copy of the data (evaluation.partial=true): do not compare its scores "
    "with published scores."
)


def protocol(run_data: RunData) -> list[Block]:
    """Build the table of the published protocol that scored the run; no blocks without one."""
    results, file = run_data.results, run_data.run.result_file
    official = PROTOCOLS.get(file.protocol)
    if official is None:
        return []
    columns, rows = protocol_rows(results, official)
    own = [results.find(column._replace(scope=None)) for column in official.columns(SEARCH, "")]
    num_queries = next((row.n for row in own if row is not None), 0)
    intro = f"Official scores of protocol={official.name}, means over {num_queries:,} queries. {PUBLISHED_NOTE}"
    return [*([Text(PARTIAL_NOTE, note=True)] if file.partial else []), Text(intro),
            Table(columns, rows, highlight_first=True)]  # fmt: skip
