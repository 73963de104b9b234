"""Show the progress of long work with a bar on a terminal, and with log lines elsewhere; log the rate at the end."""

import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import TypeVar

from rich import get_console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

log = logging.getLogger(__name__)

LOG_INTERVAL_S = 30.0  # time between log lines without a terminal
MIN_LOGGED_S = 1.0  # minimum duration of work whose rate is logged

S = TypeVar("S")
T = TypeVar("T")


class RateColumn(ProgressColumn):
    """Column with the number of images per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


@contextmanager
def progress(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show the progress of work on `total` images; yield a function that advances the progress by a number of images.

    Args:
        description: text that starts with a verb in -ing, such as "encoding gallery"; in the final log line, -ing is
            replaced by -ed ("Encoded gallery").
        total: number of images.
    """
    is_terminal = get_console().is_terminal
    present_text = description[0].upper() + description[1:]  # "Encoding gallery"
    past_text = re.sub(r"ing\b", "ed", present_text)  # "Encoded gallery"
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), RateColumn(), TimeRemainingColumn()
    started = last_logged = time.perf_counter()
    num_done = 0
    with Progress(*columns, transient=True, disable=not is_terminal) as bar:
        task = bar.add_task(description, total=total)

        def step(count: int) -> None:
            nonlocal num_done, last_logged
            num_done += count
            bar.advance(task, count)
            if not is_terminal and time.perf_counter() - last_logged > LOG_INTERVAL_S:
                last_logged = time.perf_counter()
                rate = num_done / (last_logged - started)
                seconds_left = (total - num_done) / rate
                log.info(
                    "%s: %d of %d images (%.0f per second), %.0f s left",
                    present_text,
                    num_done,
                    total,
                    rate,
                    seconds_left,
                )

        yield step
    seconds = time.perf_counter() - started
    if seconds > MIN_LOGGED_S:
        log.info("%s: %d images in %.1f s (%.0f per second)", past_text, num_done, seconds, num_done / seconds)


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Split the items into slices of at most `size`."""
    return (items[start : start + size] for start in range(0, len(items), size))


def prefetch(pool: Executor, function: Callable[[S], T], items: Sequence[S], size: int) -> Iterator[list[T]]:
    """Map `function` over the items in chunks of `size`, computing one chunk ahead.

    Computing more chunks ahead would need too much memory, since the results are whole images.
    """
    next_results = pool.map(function, items[:size])
    for start in range(0, len(items), size):
        results = list(next_results)
        next_results = pool.map(function, items[start + size : start + 2 * size])
        yield results


def track(batches: Iterable[T], description: str, total: int, size: Callable[[T], int]) -> Iterator[T]:
    """Iterate over batches of `size(batch)` images each, and show the progress up to `total` images."""
    with progress(description, total) as step:
        for batch in batches:
            yield batch
            step(size(batch))
