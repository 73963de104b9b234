"""Notebooks are stored without outputs, define no functions, and run from top to bottom."""

import ast
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request: pytest.FixtureRequest) -> nbformat.NotebookNode:
    return nbformat.read(request.param, as_version=4)


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_notebook_names() -> None:
    assert [path.name for path in NOTEBOOKS] == [
        "00_search_your_images.ipynb",
        "01_walkthrough.ipynb",
        "02_results.ipynb",
    ]


def test_notebook_has_no_outputs(notebook: nbformat.NotebookNode) -> None:
    assert [(cell.outputs, cell.execution_count) for cell in code_cells(notebook)] == [([], None)] * len(
        code_cells(notebook)
    )
    assert not [cell.id for cell in notebook.cells if cell.metadata]


def test_notebook_defines_no_functions(notebook: nbformat.NotebookNode) -> None:
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    trees = [ast.parse(cell.source) for cell in code_cells(notebook)]
    assert not [ast.unparse(node) for tree in trees for node in ast.walk(tree) if isinstance(node, definitions)]
    modules = {node.module or "" for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert any(module.startswith("fashion_lsh.") for module in modules)


def test_code_cells_are_preceded_by_text(notebook: nbformat.NotebookNode) -> None:
    """At most two code cells follow each text cell, and the first cell is text."""
    cell_types = "".join(cell.cell_type[0] for cell in notebook.cells)  # m: markdown, c: code
    assert cell_types.startswith("m")
    assert "ccc" not in cell_types


@pytest.mark.notebook
@pytest.mark.timeout(360)
def test_notebook_runs(notebook: nbformat.NotebookNode, tmp_path: Path) -> None:
    """A notebook runs, shows at least five figures or tables, and writes no files."""
    NotebookClient(notebook, timeout=350, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    mime_types = [mime_type for output in outputs for mime_type in output.get("data", {})]
    assert (
        sum(mime_type in ("image/png", "image/svg+xml", "text/html", "text/markdown") for mime_type in mime_types) >= 5
    )
    assert not list(tmp_path.iterdir())
