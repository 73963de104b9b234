"""Measure coverage with a context per test, and select the tests that execute a line."""

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from coverage import CoverageData

SHARED_FIXTURES = "shared_fixtures.json"
CONFIG = """[run]
branch = true
source = fashion_lsh
parallel = true
patch = subprocess
data_file = {folder}/.coverage
"""


class FixtureRecorder:
    """Pytest plugin that writes the shared fixtures of each test: all fixtures with a scope wider than a function."""

    def __init__(self, out: Path, tests: Path) -> None:
        self.out, self.tests = out, str(tests)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        shared = {}
        for item in session.items:
            definitions = item._fixtureinfo.name2fixturedefs.values()  # type: ignore[attr-defined]
            names = [
                fixture[-1].argname
                for fixture in definitions
                if fixture[-1].scope != "function" and fixture[-1].func.__code__.co_filename.startswith(self.tests)
            ]
            shared[item.nodeid] = sorted(names)
        self.out.write_text(json.dumps(shared))


class TestSelection:
    """Tests by the lines that they execute.

    The code of a shared fixture runs only in the set-up of the first test that uses the fixture. The lines executed in
    the set-up of a test therefore count for all tests that have a shared fixture in common with this test.

    Args:
        tree: measured checkout.
        coverage: folder written by `measure_coverage`.
    """

    __test__ = False  # not a test class

    def __init__(self, tree: Path, coverage: Path) -> None:
        self.tree = tree
        self.data = CoverageData(str(coverage / ".coverage"))
        self.data.read()
        self.files = {Path(name).as_posix().split("/fashion_lsh/", 1)[-1]: name for name in self.data.measured_files()}
        self.shared: dict[str, list[str]] = json.loads((coverage / SHARED_FIXTURES).read_text())
        self.seconds = _durations(coverage / "durations.xml")
        failed = _failed_tests(coverage / "durations.xml")
        self.shared = {name: fixtures for name, fixtures in self.shared.items() if name.split("[")[0] not in failed}

    def select_tests(self, path: str, line: int) -> list[str]:
        """Return the node ids of the tests that execute a line: direct execution first, then by duration.

        A line without a context was executed on import or by a subprocess of a test. For such a line, all tests that
        execute any line of the file are returned.
        """
        measured = self.files.get(path.removeprefix("fashion_lsh/"))
        by_line = self.data.contexts_by_lineno(measured) if measured else {}
        contexts = set(by_line.get(line, []))
        if contexts == {""}:
            contexts = {context for line_contexts in by_line.values() for context in line_contexts}
        direct, fixtures = set(), set()
        for context in contexts:
            name, _, phase = context.rpartition("|")
            if name in self.shared:
                direct.add(name)
                fixtures |= set(self.shared[name]) if phase == "setup" else set()
        indirect = {name for name, used in self.shared.items() if fixtures & set(used)} - direct
        return [*sorted(direct, key=self._order), *sorted(indirect, key=self._order)]

    def _order(self, name: str) -> tuple[float, str]:
        return self.seconds.get(name.split("[")[0], 0.0), name


def measure_coverage(tree: Path, folder: Path) -> None:
    """Run the tests of a checkout with coverage; write contexts, durations and shared fixtures into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    config = folder / "coverage.ini"
    config.write_text(CONFIG.format(folder=folder))
    environment = os.environ | {"PYTHONPATH": str(tree.resolve()), "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), str(folder / SHARED_FIXTURES)],
        cwd=tree, check=True, env=environment, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    subprocess.run(  # exit status 1: tests that fail only under a tracer, see `_failed_tests`
        [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "--cov", f"--cov-config={config}",
         "--cov-context=test", "--cov-report=", f"--junit-xml={folder / 'durations.xml'}"],
        cwd=tree, check=False, env=environment,
    )  # fmt: skip


def _failed_tests(xml: Path) -> set[str]:
    """Node ids without parameters of tests that failed without a mutant: Hydra, for example, detects tracers."""
    cases = ElementTree.parse(xml).iter("testcase")
    return {_node_id(case) for case in cases if case.find("failure") is not None or case.find("error") is not None}


def _node_id(case: ElementTree.Element) -> str:
    """Node id of a test without its parameters."""
    return f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name', '').split('[')[0]}"


def _durations(xml: Path) -> dict[str, float]:
    """Seconds of each test function with its slowest parameters, by node id without parameters."""
    seconds: dict[str, float] = {}
    for case in ElementTree.parse(xml).iter("testcase"):
        name = _node_id(case)
        seconds[name] = max(seconds.get(name, 0.0), float(case.get("time", 0)))
    return seconds


if __name__ == "__main__":
    sys.exit(
        pytest.main(["--collect-only", "-qq"], plugins=[FixtureRecorder(Path(sys.argv[1]), Path("tests").resolve())])
    )
