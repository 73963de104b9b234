"""Mutation test: change one operator or constant of the package at a time and count the changes that make a test fail.

    python -m benchmarks.mutants draw mutants.json --count 40 --seed 0
    python -m benchmarks.mutants run mutants.json before.csv --repository ../before   # a checkout of an earlier commit
    python -m benchmarks.mutants run mutants.json after.csv
    python -m benchmarks.mutants compare before.csv after.csv   # exit status 1 if a mutant is found only in before.csv

`run` works on a clone of the repository's last commit, so no working tree is changed. Coverage is measured once, with a
context per test. Each mutant is then tested only with the tests that execute its line, the fastest first, until a test
fails.
"""

import argparse
import ast
import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.test_selection import TestSelection, measure_coverage

SWAPS: dict[type[ast.AST], tuple[str, str]] = {  # operator -> (text, replacement text)
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"), ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="), ast.Is: ("is", "is not"), ast.IsNot: ("is not", "is"), ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"), ast.And: ("and", "or"), ast.Or: ("or", "and"), ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*"), ast.FloorDiv: ("//", "*"), ast.Mod: ("%", "+"),
}  # fmt: skip
TIME_LIMIT_S = 120  # time limit of the tests of one mutant


@dataclass(frozen=True)
class Mutant:
    """Change of one operator or constant.

    Attributes:
        path: source file.
        function: qualified name of the function or class.
        ordinal: index of the candidate in its function, from 0; stays valid if the function moves.
        before: original text.
        after: replacement text.
    """

    path: str
    function: str
    ordinal: int
    before: str
    after: str


@dataclass(frozen=True)
class Candidate:
    """Mutant with the replaced source span.

    Attributes:
        line: line number, from 1.
        start: first column, in bytes.
        stop: end column, exclusive, in bytes.
    """

    mutant: Mutant
    line: int
    start: int
    stop: int


def find_candidates(path: str, source: str) -> list[Candidate]:
    """Find all possible mutants of a file, in the order of its functions."""
    candidates: list[Candidate] = []
    counts: dict[str, int] = {}
    lines = [line.encode() for line in source.split("\n")]
    for function, node in _nodes(ast.parse(source), ""):
        for line, start, stop, text in _replacements(node, lines):
            ordinal = counts[function] = counts.get(function, -1) + 1
            before = lines[line - 1][start:stop].decode()
            candidates.append(Candidate(Mutant(path, function, ordinal, before, text), line, start, stop))
    return candidates


def apply_mutant(tree: Path, mutant: Mutant) -> int | None:
    """Apply a mutant to the checkout at `tree`; return the line, or None if the code no longer has the candidate."""
    file = tree / mutant.path
    if not file.is_file():
        return None
    source = file.read_text()
    for candidate in find_candidates(mutant.path, source):
        if candidate.mutant == mutant:
            lines = source.split("\n")
            line = lines[candidate.line - 1].encode()
            lines[candidate.line - 1] = (
                line[: candidate.start] + mutant.after.encode() + line[candidate.stop :]
            ).decode()
            file.write_text("\n".join(lines))
            return candidate.line
    return None


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="benchmarks.mutants", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    draw = commands.add_parser("draw", help="draw mutants at random from fashion_lsh/")
    draw.add_argument("mutants", type=Path, help="JSON file to write")
    draw.add_argument("--count", type=int, default=40, help="number of mutants (%(default)s)")
    draw.add_argument("--seed", type=int, default=0, help="random seed (%(default)s)")
    run = commands.add_parser("run", help="run the tests on each mutant")
    run.add_argument("mutants", type=Path)
    run.add_argument("results", type=Path, help="CSV file to write")
    run.add_argument("--repository", type=Path, default=Path(), help="repository whose last commit is tested")
    run.add_argument(
        "--coverage", type=Path, help="folder of an earlier coverage run; coverage is measured if the folder is missing"
    )
    compare = commands.add_parser("compare", help="compare two files of results")
    compare.add_argument("before", type=Path)
    compare.add_argument("after", type=Path)
    args = parser.parse_args(argv)
    match args.command:
        case "draw":
            return draw_mutants(args.mutants, args.count, args.seed)
        case "run":
            return run_mutants(args.mutants, args.results, args.repository, args.coverage)
    return compare_results(args.before, args.after)


def draw_mutants(out: Path, count: int, seed: int) -> int:
    """Write `count` mutants, drawn without replacement from all candidates of the package."""
    files = sorted(Path("fashion_lsh").rglob("*.py"))
    mutants = [candidate.mutant for file in files for candidate in find_candidates(file.as_posix(), file.read_text())]
    selected = random.Random(seed).sample(mutants, count)
    out.write_text(json.dumps([asdict(mutant) for mutant in selected], indent=1, ensure_ascii=False) + "\n")
    print(f"{count} of {len(mutants)} candidates -> {out}")
    return 0


def run_mutants(mutants: Path, results: Path, repository: Path, coverage: Path | None) -> int:
    """Write one CSV row per mutant: outcome (found, survived, timeout, uncovered or gone), number of tests, seconds."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch, results.open("w", newline="") as file:
        tree = Path(scratch) / "tree"
        subprocess.run(["git", "clone", "--quiet", str(repository), str(tree)], check=True)
        coverage = coverage or Path(scratch) / "coverage"
        if not (coverage / "durations.xml").is_file():
            measure_coverage(tree, coverage)
        selection = TestSelection(tree, coverage)
        writer = csv.writer(file)
        writer.writerow(("path", "function", "ordinal", "before", "after", "outcome", "tests", "seconds"))
        for values in json.loads(mutants.read_text()):
            mutant = Mutant(**values)
            original = tree / mutant.path
            source = original.read_text() if original.is_file() else ""
            outcome, tests, seconds = _run_one(tree, mutant, selection)
            if source:
                original.write_text(source)
            writer.writerow((*values.values(), outcome, tests, f"{seconds:.1f}"))
            file.flush()
            print(f"{outcome:9} {seconds:6.1f} s {tests:5} tests  {mutant.path} {mutant.function}: "
                  f"{mutant.before} -> {mutant.after}", flush=True)  # fmt: skip
    return 0


def compare_results(before: Path, after: Path) -> int:
    """Print the outcomes of both files, and the mutants that are found only in the first file."""
    outcomes = []
    for file in (before, after):
        with file.open(newline="") as lines:
            outcomes.append({tuple(row.values())[:5]: row["outcome"] for row in csv.DictReader(lines)})
    for name, by_mutant in zip((before, after), outcomes, strict=True):
        values = list(by_mutant.values())
        print(name, {outcome: values.count(outcome) for outcome in sorted(set(values))})
    lost = [key for key, outcome in outcomes[0].items() if outcome == "found" and outcomes[1].get(key) != "found"]
    for key in lost:
        print("lost:", *key, f"({outcomes[1].get(key, 'not run')})")
    return 1 if lost else 0


def _run_one(tree: Path, mutant: Mutant, selection: TestSelection) -> tuple[str, int, float]:
    line = apply_mutant(tree, mutant)
    if line is None:
        return "gone", 0, 0.0
    tests = selection.select_tests(mutant.path, line)
    if not tests:
        return "uncovered", 0, 0.0
    names = tree / "selected.txt"
    names.write_text("\n".join(tests) + "\n")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--no-header", f"@{names}"]
    environment = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    start = time.perf_counter()
    with subprocess.Popen(
        command, cwd=tree, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, start_new_session=True
    ) as process:
        try:
            outcome = "found" if process.wait(TIME_LIMIT_S) else "survived"
        except subprocess.TimeoutExpired:
            outcome = "timeout"
            os.killpg(process.pid, signal.SIGKILL)  # also kills the processes started by the tests
    return outcome, len(tests), time.perf_counter() - start


def _nodes(node: ast.AST, function: str) -> Iterator[tuple[str, ast.AST]]:
    """Yield the nodes below `node` with the qualified name of the function or class; annotations are skipped."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                inner = function
                if isinstance(child, ast.FunctionDef | ast.ClassDef):
                    inner = f"{function}.{child.name}".lstrip(".")
                yield inner, child
                yield from _nodes(child, inner)


def _replacements(node: ast.AST, lines: list[bytes]) -> Iterator[tuple[int, int, int, str]]:
    """Yield (line, start, stop, new text) of each replacement at a node; skip operators that span several lines."""
    operators: list[tuple[ast.expr, ast.AST, ast.expr]]
    match node:
        case ast.Compare():
            operators = list(zip([node.left, *node.comparators], node.ops, node.comparators, strict=False))
        case ast.BoolOp():
            operators = [(left, node.op, right) for left, right in zip(node.values, node.values[1:], strict=False)]
        case ast.BinOp():
            operators = [(node.left, node.op, node.right)]
        case ast.Constant(value=bool() as flag):
            yield node.lineno, node.col_offset, node.end_col_offset or 0, str(not flag)
            return
        case ast.Constant(value=int() | float() as number):
            yield node.lineno, node.col_offset, node.end_col_offset or 0, repr(number + 1)
            return
        case ast.UnaryOp(op=ast.Not()):
            yield node.lineno, node.col_offset, node.col_offset + len("not "), ""
            return
        case _:
            return
    for left, operator, right in operators:
        if type(operator) in SWAPS and left.end_lineno == right.lineno:
            text, swapped = SWAPS[type(operator)]
            first, last = left.end_col_offset or 0, right.col_offset
            offset = lines[right.lineno - 1][first:last].find(text.encode())
            if offset >= 0:
                yield right.lineno, first + offset, first + offset + len(text), swapped


if __name__ == "__main__":
    sys.exit(main())
