"""Versions of components: which trained stages and results may be compared.

A component is a class of this package that a config names by `_target_`. Its version is an integer in
component_versions.json, which is part of the keys of runs and stages. The file also contains a digest of the source
code of the component; a test fails if the code has changed and the file has not.

    python -m fashion_lsh.runs.component_versions                  # list components whose code has changed
    python -m fashion_lsh.runs.component_versions --update         # changes affect results: raise the versions
    python -m fashion_lsh.runs.component_versions --same-results   # changes do not affect results: keep them
"""

import argparse
import ast
import hashlib
import json
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from fashion_lsh.io.files import atomic_write, checksum
from fashion_lsh.io.targets import target_names

PACKAGE_FOLDER = Path(__file__).parents[1]
VERSIONS_FILE = Path(__file__).with_name("component_versions.json")
COMPONENTS = {  # class -> modules; modules of the same layer that they import belong to the component, too
    "fashion_lsh.data.datamodule.GarmentData": ("data.datamodule",),
    "fashion_lsh.data.detection_data.DetectionData": ("data.detection_data",),
    "fashion_lsh.data.detections.BoxSelector": ("data.detections",),
    "fashion_lsh.training.detector.Detector": ("training.detector", "training.fitting", "models.detector"),
    "fashion_lsh.training.classifier.Classifier": ("training.classifier", "training.fitting", "models.classifier"),
    "fashion_lsh.training.hash_head.HashHead": ("training.hash_head", "training.fitting", "models.hash_head"),
    "fashion_lsh.training.item_contrast.ItemContrast": (
        "training.item_contrast",
        "training.fitting",
        "models.item_codes",
    ),
    "fashion_lsh.models.item_codes.ItemLDA": ("models.item_codes",),
    "fashion_lsh.models.baselines.LSH": ("models.baselines",),
    "fashion_lsh.models.baselines.PCA": ("models.baselines",),
    "fashion_lsh.models.baselines.ITQ": ("models.baselines",),
    "fashion_lsh.models.baselines.PredictedCategory": ("models.baselines",),
    "fashion_lsh.search.policy.SearchPolicy": ("search.policy", "search.searcher"),
}
# layers whose code is hashed to `code_version`; the others do not affect results
RESULT_LAYERS = (
    "io", "index", "metrics", "data", "models", "training", "gallery", "search", "evaluation", "runs", "studies",
)  # fmt: skip


def used_versions(config: Any) -> dict[str, int]:
    """Versions of the components that a config names by `_target_`, by class."""
    versions = _read_versions()
    return {target: versions[target]["version"] for target in sorted(set(_targets(config))) if target in versions}


def own_code(config: Any) -> dict[str, str]:
    """Hash of the file of each module outside installed packages whose classes a config names, by module.

    Only modules that have been imported are listed.
    """
    installed = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    modules = {name.rpartition(".")[0] for name in target_names(config)}
    files = {name: getattr(sys.modules.get(name), "__file__", None) for name in sorted(modules)}
    own = {name: Path(file) for name, file in files.items() if file and not file.startswith(installed)}
    return {name: checksum(file)[:12] for name, file in own.items() if PACKAGE_FOLDER not in file.parents}


@cache
def code_version() -> str:
    """Hash of the source code of all RESULT_LAYERS; comments, docstrings and formatting do not count.

    The prefix "code-" precedes 12 hex digits, because readers of CSV take digits such as 15779176e432 for a number.
    """
    modules = [_module(path) for layer in RESULT_LAYERS for path in sorted((PACKAGE_FOLDER / layer).rglob("*.py"))]
    return f"code-{_digest(modules)}"


def digest(component: str) -> str:
    """Hash of the source code of a component, 12 hex digits."""
    found: set[str] = set()
    pending = list(COMPONENTS[component])
    while pending:
        module = pending.pop()
        if module not in found:
            found.add(module)
            layer = module.partition(".")[0]
            pending += [name for name in _imports(module) if name.partition(".")[0] == layer]
    return _digest(sorted(found))


def changed_components() -> list[str]:
    """Components whose code differs from the digest in component_versions.json."""
    versions = _read_versions()
    return [name for name in COMPONENTS if versions.get(name, {}).get("digest") != digest(name)]


def main(argv: Sequence[str] | None = None) -> int:
    """List or record changed components; return 1 if there are changes that were not recorded."""
    parser = argparse.ArgumentParser(description="Versions of components.")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--update", action="store_true", help="raise the versions of changed components")
    choice.add_argument("--same-results", action="store_true", help="keep the versions: the results are the same")
    args = parser.parse_args(argv)
    versions, changed = _read_versions(), changed_components()
    for name in changed:
        old = versions.get(name, {}).get("version", 0)
        versions[name] = {"version": old + 1 if args.update or not old else old, "digest": digest(name)}
        print(f"{name}: version {versions[name]['version']}")
    if not args.update and not args.same_results:
        return int(bool(changed))
    with atomic_write(VERSIONS_FILE) as temporary:
        temporary.write_text(json.dumps({name: versions[name] for name in COMPONENTS}, indent=1) + "\n")
    _read_versions.cache_clear()
    return 0


@cache
def _read_versions() -> dict[str, dict[str, Any]]:
    return dict(json.loads(VERSIONS_FILE.read_text())) if VERSIONS_FILE.is_file() else {}


def _targets(config: Any) -> Iterator[str]:
    if isinstance(config, Mapping):
        if "_target_" in config:
            yield str(config["_target_"])
        for value in config.values():
            yield from _targets(value)


def _module(path: Path) -> str:
    """Name of a module below the package, such as `data.crops`."""
    return ".".join(path.relative_to(PACKAGE_FOLDER).with_suffix("").parts).removesuffix(".__init__")


def _digest(modules: Iterable[str]) -> str:
    content = hashlib.sha256()
    for module in modules:
        content.update(f"{module}\n{_text(_tree(module))}\n".encode())
    return content.hexdigest()[:12]


def _text(node: Any) -> str:
    """Text of a syntax tree without empty fields, which differ between Python versions (unlike `ast.dump`)."""
    if isinstance(node, list):
        return f"[{','.join(map(_text, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: value for name, value in ast.iter_fields(node) if value is not None and value != []}
    return f"{type(node).__name__}({','.join(f'{name}={_text(value)}' for name, value in fields.items())})"


@cache
def _tree(module: str) -> ast.Module:
    """Syntax tree of a module without docstrings."""
    path = PACKAGE_FOLDER.joinpath(*module.split("."))
    tree = ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return tree


def _imports(module: str) -> Iterator[str]:
    """Modules of this package that a module imports."""
    for node in ast.walk(_tree(module)):
        names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            inner = name.removeprefix("fashion_lsh.")
            path = PACKAGE_FOLDER.joinpath(*inner.split("."))
            if inner != name and (path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()):
                yield inner


if __name__ == "__main__":
    sys.exit(main())
