"""Tables of config and environment of a run."""

from collections.abc import Mapping, Sequence
from typing import Any

from fashion_lsh.report.blocks import Block, Table
from fashion_lsh.report.phrases import one_line
from fashion_lsh.report.run_data import RunData
from fashion_lsh.runs.config import flatten


def settings(run_data: RunData) -> list[Block]:
    """Build collapsed tables of config.yaml and environment.json."""
    return [
        Table(["setting", "value"], _settings(run_data.config), summary="config.yaml"),
        Table(["", ""], _settings(run_data.environment), summary="environment.json"),
    ]


def _settings(settings: Mapping[str, Any]) -> list[Sequence[str]]:
    return [(name, "null" if value is None else one_line(str(value))) for name, value in flatten(settings)]
