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
import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from benchmarks.mutation_candidates import Mutant, apply_mutant, find_candidates
from benchmarks.test_selection import TestSelection, measure_coverage

TIME_LIMIT_S = 120  # time limit of the tests of one mutant


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
    """Add one CSV row per mutant: result (found, survived, timeout, uncovered or gone), number of tests, seconds.

    Mutants that are already in the file are skipped, so an interrupted command can be repeated.
    """
    finished = set(read_results(results)) if results.is_file() else set()
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch, results.open("a", newline="") as file:
        tree = Path(scratch) / "tree"
        subprocess.run(["git", "clone", "--quiet", str(repository), str(tree)], check=True)
        coverage = coverage or Path(scratch) / "coverage"
        if not (coverage / "durations.xml").is_file():
            measure_coverage(tree, coverage)
        selection = TestSelection(tree, coverage)
        writer = csv.writer(file)
        if not finished:
            writer.writerow(("path", "function", "ordinal", "before", "after", "result", "tests", "seconds"))
        for values in json.loads(mutants.read_text()):
            mutant = Mutant(**values)
            if tuple(map(str, values.values())) in finished:
                continue
            original = tree / mutant.path
            source = original.read_text() if original.is_file() else ""
            result, tests, seconds = _run_one(tree, mutant, selection)
            if source:
                original.write_text(source)
            writer.writerow((*values.values(), result, tests, f"{seconds:.1f}"))
            file.flush()
            print(f"{result:9} {seconds:6.1f} s {tests:5} tests  {mutant.path} {mutant.function}: "
                  f"{mutant.before} -> {mutant.after}", flush=True)  # fmt: skip
    return 0


def compare_results(before: Path, after: Path) -> int:
    """Print the number of mutants by result for both files, and the mutants that are found only in the first file."""
    before_results, after_results = read_results(before), read_results(after)
    for name, by_mutant in ((before, before_results), (after, after_results)):
        values = list(by_mutant.values())
        print(name, {result: values.count(result) for result in sorted(set(values))})
    found = [mutant for mutant, result in before_results.items() if result == "found"]
    no_longer_found = [mutant for mutant in found if after_results.get(mutant) != "found"]
    for mutant in no_longer_found:
        print("no longer found:", *mutant, f"({after_results.get(mutant, 'not run')})")
    return 1 if no_longer_found else 0


def read_results(file: Path) -> dict[tuple[str, ...], str]:
    """Result of each mutant (path, function, ordinal, before, after)."""
    with file.open(newline="") as lines:
        return {tuple(row.values())[:5]: row["result"] for row in csv.DictReader(lines)}


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
            result = "found" if process.wait(TIME_LIMIT_S) else "survived"
        except subprocess.TimeoutExpired:
            result = "timeout"
            os.killpg(process.pid, signal.SIGKILL)  # also kills the processes started by the tests
    return result, len(tests), time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
