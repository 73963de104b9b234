"""Modules that `tests.commands` imports once for all commands."""

import fashion_lsh.cli.components
import fashion_lsh.cli.evaluate
import fashion_lsh.cli.gallery
import fashion_lsh.cli.report
import fashion_lsh.cli.search
import fashion_lsh.cli.train  # noqa: F401
from fashion_lsh.runs.component_versions import code_version

code_version()
