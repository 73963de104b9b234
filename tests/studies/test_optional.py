"""The package works without `fashion_lsh.studies`; only commands import studies, inside functions."""

import ast
import subprocess
import sys
from importlib.util import resolve_name
from pathlib import Path

import pytest

import fashion_lsh
from fashion_lsh.studies.claims import TEMPLATE
from tests.studies.factories import query_scores, write_job

pytestmark = pytest.mark.train

PACKAGE = Path(fashion_lsh.__file__).parent
CONFIG = PACKAGE.parent / "conf"
STUDIES = "fashion_lsh.studies"
COMMANDS = {"cli/report.py", "cli/reproduce.py"}  # may import studies inside their functions
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "studies" not in path.relative_to(PACKAGE).parts)


def module_name(path: Path) -> str:
    return ".".join(("fashion_lsh", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


def find_study_imports(source: str, package: str = "fashion_lsh") -> list[ast.stmt]:
    """Return the statements in a module's source that import studies.  package: resolves relative imports."""
    statements: list[ast.stmt] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), package)
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        if any(f"{name}.".startswith(f"{STUDIES}.") for name in names):
            statements.append(node)
    return statements


def lines_in_functions(source: str) -> set[int]:
    function_types = (ast.FunctionDef, ast.AsyncFunctionDef)
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, function_types)]
    return {line for node in functions for line in range(node.body[0].lineno, (node.end_lineno or 0) + 1)}


def run_without_studies(code: str, *args: object) -> subprocess.CompletedProcess[str]:
    """Run code in a subprocess where importing the studies fails."""
    code_without_studies = f"import sys; sys.modules[{STUDIES!r}] = None; {code}"
    command = [sys.executable, "-c", code_without_studies, *map(str, args)]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_all_other_modules_import_without_studies() -> None:
    names = [
        module_name(path) for path in MODULES if path.name != "__main__.py" and (path.parent / "__init__.py").exists()
    ]
    process = run_without_studies(
        "from importlib import import_module; [import_module(name) for name in sys.argv[1:]]", *names
    )
    assert process.returncode == 0, process.stdout[-3000:]


def test_report_without_studies_fails_only_for_pages_of_studies(tmp_path: Path) -> None:
    sweep, claims, repeats = (tmp_path / name for name in ("sweep", "claims", "repeats"))
    for seed in (0, 1):
        write_job(sweep, {"seed": seed}, {"top-1": query_scores(0.5)})
    for folder in (claims, repeats):
        folder.mkdir()
    (claims / TEMPLATE).write_text("")
    (repeats / "page.yaml").write_text("study: stability\n")
    code = "from fashion_lsh.cli.report import main; sys.exit(main(sys.argv[1:]))"
    process = run_without_studies(code, sweep)
    assert process.returncode == 0, process.stdout
    assert (sweep / "index.html").exists()
    for folder in (claims, repeats):
        process = run_without_studies(code, folder)
        assert process.returncode == 1
        assert STUDIES in process.stdout


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_only_commands_import_studies_and_only_in_functions(path: Path) -> None:
    source = path.read_text()
    package = module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]
    study_imports = find_study_imports(source, package)
    if path.relative_to(PACKAGE).as_posix() not in COMMANDS:
        assert not [ast.unparse(node) for node in study_imports]
        assert STUDIES not in source  # not as a string either
    assert {node.lineno for node in study_imports} <= lines_in_functions(source)


def test_only_experiment_configs_refer_to_studies() -> None:
    files = [path.relative_to(CONFIG) for path in CONFIG.rglob("*.yaml") if STUDIES in path.read_text()]
    assert {path.parts[0] for path in files} == {"experiment"}
    assert {path.stem for path in files} == {"coverage", "distances", "item_codes", "item_search", "speedup"}


@pytest.mark.parametrize(
    ("source", "is_import"),
    [
        ("import fashion_lsh.studies", True),
        ("import fashion_lsh.studies.claims as claims", True),
        ("from fashion_lsh import io, studies", True),
        ("from fashion_lsh.studies.claims import TEMPLATE", True),
        ("from .studies import claims", True),
        ("def load():\n    from fashion_lsh.studies import claims", True),
        ("import fashion_lsh.search", False),
        ("from fashion_lsh import studies_of_others", False),
    ],
)
def test_study_imports_are_detected_in_every_form(source: str, is_import: bool) -> None:
    study_imports = find_study_imports(source)
    assert bool(study_imports) == is_import
    assert ({node.lineno for node in study_imports} <= lines_in_functions(source)) == (
        not is_import or source.startswith("def")
    )
