"""How far long work is: a bar on a terminal, a line now and then elsewhere, and its rate at the end."""

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

LOG_INTERVAL_S = 30.0  # seconds between two lines where there is no terminal
MIN_LOGGED_S = 1.0  # seconds of work of which nothing is told at its end

S = TypeVar("S")
T = TypeVar("T")


class RateColumn(ProgressColumn):
    """Pictures a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


@contextmanager
def progress(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how far work on `total` pictures is; yields a function to be called with how many were just done."""
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
                log.info(
                    "%s: %d of %d, %.0f a second, %.0f s left", description, done, total, rate, (total - done) / rate
                )

        yield step
    seconds = time.perf_counter() - started
    if seconds > MIN_LOGGED_S:
        log.info("%s: %d pictures in %.1f s, %.0f a second", description, done, seconds, done / seconds)


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items, at most `size` at a time."""
    return (items[start : start + size] for start in range(0, len(items), size))


def prefetch(pool: Executor, function: Callable[[S], T], items: Sequence[S], size: int) -> Iterator[list[T]]:
    """Map `function` over the items, `size` at a time; the next chunk is computed while one is used, and no more than
    that, since whole images are large."""
    pending = pool.map(function, items[:size])
    for start in range(0, len(items), size):
        results = list(pending)
        pending = pool.map(function, items[start + size : start + 2 * size])
        yield results


def track(batches: Iterable[T], description: str, total: int, size: Callable[[T], int]) -> Iterator[T]:
    """The parts, with a bar: each holds `size(part)` of the `total` pictures."""
    with progress(description, total) as step:
        for batch in batches:
            yield batch
            step(size(batch))
