"""A user's own sections of the report."""

import logging
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Protocol, runtime_checkable

from fashion_lsh.io.targets import Spec, check_call, create
from fashion_lsh.report.blocks import Block, Section, Text
from fashion_lsh.report.phrases import one_line
from fashion_lsh.report.run_data import RunData
from fashion_lsh.report.templates import PAGES, render_template

log = logging.getLogger(__name__)


@runtime_checkable
class ReportSection(Protocol):
    """Section of the report of a run."""

    def __call__(self, run_data: RunData) -> Sequence[Block]:
        """Return the blocks of the section."""
        ...


def create_section(name: str, node: Spec) -> ReportSection:
    """Create a section from `module.Class` or a mapping with `_target_`.

    Raises:
        ComponentError: the class cannot be imported, has other arguments, or is not called with one argument.
    """
    section: ReportSection = create(node, ReportSection, {}, f"sections.{name}")
    check_call(section, f"sections.{name}", "run_data")
    return section


def own_sections(run_data: RunData) -> list[Section]:
    """Build the sections that the config names; a section that fails is a note, and the others go on."""
    nodes = run_data.config.get("sections") or {}
    with run_data.run.restricted():  # the run may have been received
        return [_build(name, node, run_data) for name, node in nodes.items()]


def _build(name: str, node: Spec, run_data: RunData) -> Section:
    title = one_line(name).replace("_", " ").capitalize()
    try:
        blocks = list(create_section(name, node)(replace(run_data, config=deepcopy(run_data.config))))
        if wrong := [block for block in blocks if not isinstance(block, Block)]:
            raise TypeError(f"returned {wrong[0]!r}, not a block of fashion_lsh.report.blocks")
        for template in PAGES:  # the content of a block may be of another type than declared
            render_template(template, title="", lead="", sections=[Section(name, title, blocks)])
    except Exception as error:  # code of the user: any exception is possible
        text = f"sections.{name} failed ({type(error).__name__}: {one_line(str(error))})"
        log.error("%s; the other sections are complete", text)
        log.debug("sections.%s", name, exc_info=error)
        blocks = [Text(f"{text}.", note=True)]
    return Section(f"own-{name}", title, blocks)
