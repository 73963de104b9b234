"""Progress of long work: a bar on a terminal, log lines elsewhere, and the rate at the end."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import TypeVar

from rich import get_console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

log = logging.getLogger(__name__)

LOG_INTERVAL_S = 30.0  # seconds between log lines without a terminal
MIN_LOGGED_S = 1.0  # shorter work logs no rate at its end

S = TypeVar("S")
T = TypeVar("T")


class RateColumn(ProgressColumn):
    """Images per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


@contextmanager
def progress(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show the progress of work on `total` images; yield a function that advances it by a number of images."""
    is_terminal = get_console().is_terminal
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), RateColumn(), TimeRemainingColumn()
    started = last_logged = time.perf_counter()
    done = 0
    with Progress(*columns, transient=True, disable=not is_terminal) as bar:
        task = bar.add_task(description, total=total)

        def step(count: int) -> None:
            nonlocal done, last_logged
            done += count
            bar.advance(task, count)
            if not is_terminal and time.perf_counter() - last_logged > LOG_INTERVAL_S:
                last_logged = time.perf_counter()
                rate = done / (last_logged - started)
                seconds_left = (total - done) / rate
                log.info("%s: %d of %d, %.0f per second, %.0f s left", description, done, total, rate, seconds_left)

        yield step
    seconds = time.perf_counter() - started
    if seconds > MIN_LOGGED_S:
        log.info("%s: %d images in %.1f s, %.0f per second", description, done, seconds, done / seconds)


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Split the items into slices of at most `size`."""
    return (items[start : start + size] for start in range(0, len(items), size))


def prefetch(pool: Executor, function: Callable[[S], T], items: Sequence[S], size: int) -> Iterator[list[T]]:
    """Map `function` over the items in chunks of `size`, computing one chunk ahead.

    More chunks would need too much memory: the results are whole images.
    """
    pending = pool.map(function, items[:size])
    for start in range(0, len(items), size):
        results = list(pending)
        pending = pool.map(function, items[start + size : start + 2 * size])
        yield results


def track(batches: Iterable[T], description: str, total: int, size: Callable[[T], int]) -> Iterator[T]:
    """Iterate over batches and show progress: a batch has `size(batch)` of the `total` images."""
    with progress(description, total) as step:
        for batch in batches:
            yield batch
            step(size(batch))
