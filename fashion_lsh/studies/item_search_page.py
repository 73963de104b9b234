"""Page of `experiment=item_search`: a figure of item recall against the rows scanned, and a table."""

from collections.abc import Sequence

from fashion_lsh.report.figures import BLUE, GREEN, GREY, ORANGE, RED, legend, svg_figure
from fashion_lsh.report.page_file import Row
from fashion_lsh.report.phrases import markdown_table, percent

HISTOGRAM, OTHER_RUN = "colour_histogram", "other run"
BY_CODE = ("hamming", "asymmetric")  # distances that need no vectors of the gallery
STYLES = {"hamming": (BLUE, "o", "-"), "asymmetric": (GREEN, "s", "-"), "euclidean": (ORANGE, "^", "--"),
          HISTOGRAM: (GREY, "x", ":"), OTHER_RUN: (RED, "D", "")}  # fmt: skip
FIGURE = "recall.svg"
TITLES = ("method", "lists", "rows scanned", "code", "id", "vector", "bytes", "recall@1", "recall@10", "mAP",
          "recall@10 on val", "gain over all lists")  # fmt: skip
SHOWN = (1, 2, 3, 4, "all")  # numbers of lists in the table, beside the chosen one


def page(rows: Sequence[Row]) -> tuple[str, dict[str, bytes]]:
    """Markdown page of the rows of `ItemSearchStudy`, and its figure."""
    queries = [row for row in rows if row["split"] == "query"]
    val = {(row["method"], row["nprobe"]): row for row in rows if row["split"] == "val"}
    chosen = next(row for row in queries if _is_chosen(row))
    shown = [row for row in queries if row["nprobe"] in SHOWN or _is_chosen(row) or row["method"] == OTHER_RUN]
    parts = [
        f"{chosen['queries']:,} queries, {chosen['gallery']:,} garments in the gallery; `val`: "
        f"{val['hamming', 1]['queries']:,} and {val['hamming', 1]['gallery']:,}. Item relevance: only images of the "
        "query's garment are relevant. Intervals are over the items of these queries, for this run.",
        f"**Chosen on val:** {chosen['method']}, {_lists(chosen)}: item recall@10 {_recall(chosen)} with "
        f"{chosen['bytes']} bytes a garment, {percent(chosen['scanned'])} of the rows scanned.",
        f"![Item recall@10 of the queries against the rows scanned]({FIGURE})",
        "Each point of a line is a number of probed lists, from one to all; the star is the search chosen on `val`.",
        markdown_table([_line(row, val) for row in shown], TITLES),
        "Bytes a garment; *gain over all lists*: difference in item recall@10 from the same method in the whole "
        "gallery, paired by query, with its 95 % interval.",
        "\n".join(_compare_lists(row) for row in queries if row["method"] in BY_CODE and row["nprobe"] in (2, 3)),
    ]  # fmt: skip
    return "\n\n".join(parts), {FIGURE: figure(queries)}


def figure(rows: Sequence[Row]) -> bytes:
    """Plot item recall@10 against the ratio of rows scanned as SVG: one line per method."""
    with svg_figure(3.8) as (canvas, buffer):
        axes = canvas.subplots()
        for method, (colour, marker, linestyle) in STYLES.items():
            own = [row for row in rows if row["method"] == method]
            if own:
                points = [row["scanned"] for row in own], [row["recall@10"] for row in own]
                axes.plot(*points, color=colour, marker=marker, linestyle=linestyle, markersize=4, label=method)
        chosen = next(row for row in rows if _is_chosen(row))
        axes.plot(chosen["scanned"], chosen["recall@10"], "*", color="black", markersize=12, label="chosen on val")
        axes.set(xlabel="rows scanned, ratio of the gallery", ylabel="item recall@10", xlim=(0, 1.02), ylim=(0, 1.02))
        legend(canvas)
    return buffer.getvalue()


def _line(row: Row, val: dict[tuple[object, object], Row]) -> list[object]:
    on_val = val[row["method"], row["nprobe"]]["recall@10"]
    name = f"{OTHER_RUN}: {row['search']}" if row["method"] == OTHER_RUN else row["method"]
    gain = "" if row.get("gain over all lists") in (None, "") or row["nprobe"] == "all" else _gain(row)
    cells = [
        name, row["nprobe"], percent(row["scanned"]), *(row[f"{part} bytes"] for part in ("code", "id", "vector")),
        row["bytes"], f"{row['recall@1']:.3f}", _recall(row), f"{row['map']:.3f}", f"{on_val:.3f}", gain,
    ]  # fmt: skip
    return [f"**{cell}**" if number == 0 and _is_chosen(row) else cell for number, cell in enumerate(cells)]


def _compare_lists(row: Row) -> str:
    """Sentence that compares the lists of a row with the whole gallery."""
    relation = "above" if row["gain low"] > 0 else "below" if row["gain high"] < 0 else "not shown to differ from"
    return (
        f"- {_lists(row)}, {row['method']}: item recall@10 is {relation} that of the whole gallery, {_gain(row)}, with "
        f"{percent(row['scanned'])} of the rows."
    )


def _is_chosen(row: Row) -> bool:
    return row.get("chosen") in (True, "True")  # rows of results.csv have strings


def _lists(row: Row) -> str:
    return "all lists" if row["nprobe"] == "all" else f"{row['nprobe']} list{'s' if row['nprobe'] > 1 else ''}"


def _recall(row: Row) -> str:
    return f"{row['recall@10']:.3f} [{row['recall@10 low']:.3f}, {row['recall@10 high']:.3f}]"


def _gain(row: Row) -> str:
    return f"{row['gain over all lists']:+.3f} [{row['gain low']:+.3f}, {row['gain high']:+.3f}]"
