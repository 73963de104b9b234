"""The notebooks have no outputs, define no functions, and run from top to bottom."""

import ast
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request: pytest.FixtureRequest) -> nbformat.NotebookNode:
    return nbformat.read(request.param, as_version=4)


def code(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_notebook_names() -> None:
    assert [path.name for path in NOTEBOOKS] == ["01_walkthrough.ipynb", "02_results.ipynb"]


def test_notebook_has_no_outputs(notebook: nbformat.NotebookNode) -> None:
    assert [(cell.outputs, cell.execution_count) for cell in code(notebook)] == [([], None)] * len(code(notebook))
    assert not [cell.id for cell in notebook.cells if cell.metadata]


def test_notebook_defines_no_functions(notebook: nbformat.NotebookNode) -> None:
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    trees = [ast.parse(cell.source) for cell in code(notebook)]
    assert not [ast.unparse(node) for tree in trees for node in ast.walk(tree) if isinstance(node, defined)]
    modules = {node.module or "" for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert any(module.startswith("fashion_lsh.") for module in modules)


def test_code_cells_are_preceded_by_text(notebook: nbformat.NotebookNode) -> None:
    """At most two code cells follow each text cell, and the first cell is text."""
    kinds = "".join(cell.cell_type[0] for cell in notebook.cells)
    assert kinds.startswith("m")
    assert "ccc" not in kinds


@pytest.mark.notebook
@pytest.mark.timeout(360)
def test_notebook_runs(notebook: nbformat.NotebookNode, tmp_path: Path) -> None:
    """A notebook runs and leaves its working folder empty."""
    NotebookClient(notebook, timeout=350, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in code(notebook) for output in cell.outputs]
    kinds = [kind for output in shown for kind in output.get("data", {})]
    assert sum(kind in ("image/png", "image/svg+xml", "text/markdown") for kind in kinds) >= 5
    assert not list(tmp_path.iterdir())
