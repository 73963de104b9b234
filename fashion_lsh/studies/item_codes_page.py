"""Page of `experiment=item_codes`."""

from collections.abc import Iterable, Sequence

from fashion_lsh.metrics.results import ONE_LIST, WHOLE_GALLERY
from fashion_lsh.metrics.statistics import LEVEL, MIN_SEEDS, holm
from fashion_lsh.report.page_file import Row
from fashion_lsh.report.phrases import markdown_table

BASELINE = "softmax"  # method that the others are compared with: the layer of the thesis
BITS = 48  # code length of the table of all methods
RECALL, HITS = ("item", ONE_LIST, "recall", 10), 10
COLUMNS = {  # relevance, scope, metric and k by title
    "recall@1, list": ("item", ONE_LIST, "recall", 1), "recall@10, list": RECALL,
    "mAP, list": ("item", ONE_LIST, "map", "all"), "recall@10, all": ("item", WHOLE_GALLERY, "recall", 10),
    "mAP, all": ("item", WHOLE_GALLERY, "map", "all"), "category mAP, all": ("category", WHOLE_GALLERY, "map", "all"),
}  # fmt: skip
SEARCHES = ("hamming", "asymmetric", "rabitq", "activations")
VIEWS = (
    "The data have no items: an item is two augmented views of one image, so no claim about finding the same garment "
    "in other photographs is drawn from this page; compare `colour_histogram` and `raw_pixels` first."
)
SEARCH_NOTES = """- hamming: code of the query against the codes of the gallery.
- asymmetric: activations of the query, which stay floats, against the codes.
- rabitq: the same against codes of RaBitQ, which keep two factors of 4 bytes per garment beside the bits.
- activations: activations against activations in float16, before the sign."""

Cell = tuple[object, ...]


def page(rows: Sequence[Row]) -> tuple[str, dict[str, bytes]]:
    """Markdown page of an `ItemCodes` comparison; no figures."""
    codes, vectors = ([row for row in rows if bool(row["bits"]) is is_code] for is_code in (True, False))
    all_bits = sorted({row["bits"] for row in codes})
    bits = BITS if BITS in all_bits else all_bits[0]
    chosen = [row for row in codes if row["bits"] == bits]
    parts = [
        *([VIEWS] if rows[0]["items"] == "views" else []),
        f"{rows[0]['queries']:,} queries, {rows[0]['gallery']:,} images in the gallery. *list*: in the list of the "
        "predicted category; *all*: in the whole gallery. Item recall and item mAP, except where the column says "
        "category. Values of codes are means over seeds of the hash stage on the features of one classifier, with "
        "95 % intervals for new seeds and items.",
        "### Vectors without codes",
        _vector_table(vectors),
        f"### Codes of {bits} bits by Hamming distance",
        _method_table(chosen),
        _gain_note(chosen),
        f"### Distances, {bits} bits",
        f"Item recall@{HITS} in the list, and *kept*: recall by asymmetric distance as a ratio of that of the "
        "activations.",
        _distance_table(chosen),
        SEARCH_NOTES,
        f"### Code lengths: item recall@{HITS} in the list",
        "Mean over seeds; intervals are in `results.csv`. Bytes of a code: bits / 8; with `rabitq` 8 more.",
        _length_table(codes, all_bits),
    ]
    return "\n\n".join(parts), {}


def _vector_table(rows: Sequence[Row]) -> str:
    groups = _group(rows, ("method", "search", "bytes"))
    lines = [[*key, *(_cell(found.get(column)) for column in COLUMNS.values())] for key, found in groups.items()]
    return markdown_table(lines, ["vectors", "values", "bytes", *COLUMNS])


def _method_table(rows: Sequence[Row]) -> str:
    """All methods by Hamming distance."""
    lines = []
    reference = _group(rows, ("method", "search")).get((BASELINE, "hamming"), {}).get(RECALL)
    for (method, _, seeds), found in _group(_of(rows, "hamming"), ("method", "search", "seeds")).items():
        recall, accuracy = found[RECALL], found["category", ONE_LIST, "accuracy", 1]
        ratio = f"{recall['value'] / reference['value']:.2f}" if reference and reference["value"] else "–"
        cells = [_cell(found.get(column)) for column in COLUMNS.values()]
        lines.append([method, seeds, *cells, _gain(recall), ratio, f"{accuracy['value']:.3f}"])
    return markdown_table(
        lines, ["method", "seeds", *COLUMNS, f"gain over {BASELINE}", f"ratio to {BASELINE}", "top-1"]
    )


def _gain(row: Row) -> str:
    if row.get("gain") in (None, ""):
        return "–"
    return f"{row['gain']:+.3f} [{row['gain low']:+.3f}, {row['gain high']:+.3f}]"


def _gain_note(rows: Sequence[Row]) -> str:
    """Sentence on the methods whose gain has no direction after Holm's correction."""
    tested = [row for row in _of(rows, "hamming") if _key(row) == RECALL and row.get("gain") not in (None, "")]
    text = (
        f"*gain over {BASELINE}*: difference in item recall@{HITS} in the list, paired by seed and query; *ratio*: "
        "ratio of the means."
    )
    if not tested:
        return text
    adjusted = holm([row["gain p"] for row in tested])
    open_methods = [row["method"] for row, p in zip(tested, adjusted, strict=True)
                    if p >= 1 - LEVEL or row["seeds"] < MIN_SEEDS]  # fmt: skip
    shown = f"no direction is shown for {', '.join(open_methods)}" if open_methods else "all differ from 0"
    return f"{text} With Holm's correction for {len(tested)} methods and at least {MIN_SEEDS} seeds, {shown}."


def _distance_table(rows: Sequence[Row]) -> str:
    lines = []
    for (method,), found in _by_search(rows, ("method",)).items():
        kept = found["asymmetric"]["value"] / max(found["activations"]["value"], 1e-9)
        lines.append([method, *(_cell(found[name]) for name in SEARCHES), f"{kept:.3f}"])
    return markdown_table(lines, ["method", *SEARCHES, "kept"])


def _length_table(rows: Sequence[Row], all_bits: Sequence[int]) -> str:
    by_length = _by_search(rows, ("method", "bits"))
    lines = []
    for method in dict.fromkeys(row["method"] for row in rows):
        for search in SEARCHES:
            cells = [by_length.get((method, bits)) for bits in all_bits]
            if sum(each is not None for each in cells) > 1:
                lines.append([method, search, *(f"{each[search]['value']:.3f}" if each else "" for each in cells)])
    return markdown_table(lines, ["method", "distance", *(f"{bits} bits" for bits in all_bits)])


def _of(rows: Iterable[Row], search: str) -> list[Row]:
    return [row for row in rows if row["search"] == search]


def _key(row: Row) -> Cell:
    return row["relevance"], row["scope"], row["metric"], row["k"]


def _group(rows: Iterable[Row], columns: Sequence[str]) -> dict[Cell, dict[Cell, Row]]:
    """Rows by the values of some columns, then by relevance, scope, metric and k."""
    groups: dict[Cell, dict[Cell, Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in columns), {})[_key(row)] = row
    return groups


def _by_search(rows: Iterable[Row], columns: Sequence[str]) -> dict[Cell, dict[str, Row]]:
    """Rows of RECALL by the values of some columns, then by search."""
    groups: dict[Cell, dict[str, Row]] = {}
    for row in rows:
        if _key(row) == RECALL:
            groups.setdefault(tuple(row[name] for name in columns), {})[row["search"]] = row
    return groups


def _cell(row: Row | None) -> str:
    """Value with its interval; empty without a value."""
    if row is None:
        return ""
    value = f"{row['value']:.3f}"
    return value if row["seeds"] == 1 and not row["bits"] else f"{value} [{row['low']:.3f}, {row['high']:.3f}]"
