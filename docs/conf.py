"""Sphinx configuration: make docs builds docs/_build/html; warnings are errors."""

import re
import shutil
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
EXPERIMENTS = DOCS.parent / "experiments"

project = "fashion-lsh"
author = "the fashion-lsh authors"
copyright = "the fashion-lsh authors, MIT licence"
version = release = package_version("fashion-lsh")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4
exclude_patterns = ["_build"]
suppress_warnings = ["myst.header"]  # headings of experiment pages may skip a level
default_role = "literal"  # docstrings mark code with single backticks

autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # otherwise fields of NamedTuples are described twice
add_module_names = False

html_theme = "furo"
html_title = "fashion-lsh"
html_copy_source = False
html_theme_options = {"top_of_page_buttons": []}


def setup(app: Any) -> None:
    """Add the pages of experiments/ to the site, and escape bars in docstrings."""
    shutil.rmtree(DOCS / "experiments", ignore_errors=True)
    shutil.copytree(EXPERIMENTS, DOCS / "experiments", ignore=shutil.ignore_patterns("jobs", "*.j2", "*.html"))
    app.connect("source-read", _move_links)
    app.connect("autodoc-process-docstring", _escape_bars)


def _move_links(_app: Any, name: str, source: list[str]) -> None:
    """Make links between docs/ and experiments/ fit the site, where experiments/ is in docs/."""
    if name.startswith("experiments/"):
        source[0] = re.sub(r"\]\(((?:\.\./)+)docs/", r"](\1", source[0])
    else:
        source[0] = source[0].replace("](../experiments/", "](experiments/")


def _escape_bars(_app: Any, _what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """Escape the bars of absolute values, which reStructuredText takes for substitutions; code keeps them."""
    for number, line in enumerate(lines):
        parts = re.split(r"(`+[^`]*`+)", line)
        lines[number] = "".join(part if part.startswith("`") else part.replace("|", r"\|") for part in parts)
