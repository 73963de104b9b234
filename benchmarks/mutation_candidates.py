"""Mutants of Python source: one changed operator or constant."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SWAPS: dict[type[ast.AST], tuple[str, str]] = {  # operator -> (text, replacement text)
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"), ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="), ast.Is: ("is", "is not"), ast.IsNot: ("is not", "is"), ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"), ast.And: ("and", "or"), ast.Or: ("or", "and"), ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*"), ast.FloorDiv: ("//", "*"), ast.Mod: ("%", "+"),
}  # fmt: skip


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
