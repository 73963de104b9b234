"""The names that the package exports, and what importing them loads."""

import subprocess
import sys

import pytest

import fashion_lsh


@pytest.mark.parametrize("name", fashion_lsh.__all__)
def test_exported_names_are_defined_in_the_package(name: str) -> None:
    assert getattr(fashion_lsh, name).__module__.startswith("fashion_lsh.")
    assert name in dir(fashion_lsh)


def test_unknown_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Hash_Head"):
        fashion_lsh.Hash_Head  # noqa: B018


@pytest.mark.parametrize(
    ("names", "excluded"),
    [
        (["Catalogue", "open_image"], ["torch", "faiss", "scipy"]),
        (
            ["Run", "Searcher", "SearchResult", "Hit", "Gallery"],
            ["pytorch_lightning", "torchvision", "torchmetrics", "wandb", "matplotlib", "hydra", "scipy"],
        ),
    ],
)
def test_importing_names_for_search_loads_no_training_library(names: list[str], excluded: list[str]) -> None:
    code = f"import sys; from fashion_lsh import {', '.join(names)}; print([x for x in {excluded} if x in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
