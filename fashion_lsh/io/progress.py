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

EVERY = 30.0  # seconds between two lines where there is no terminal
SHORT = 1.0  # seconds of work of which nothing is told at its end

S = TypeVar("S")
T = TypeVar("T")


class Rate(ProgressColumn):
    """Pictures a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how far work on `total` pictures is; yields a function to be called with how many were just done."""
    shown = get_console().is_terminal
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn()
    began = told = time.perf_counter()
    done = 0
    with Progress(*columns, transient=True, disable=not shown) as bar:
        task = bar.add_task(what, total=total)

        def step(count: int) -> None:
            nonlocal done, told
            done += count
            bar.advance(task, count)
            if not shown and time.perf_counter() - told > EVERY:
                told = time.perf_counter()
                rate = done / (told - began)
                log.info("%s: %d of %d, %.0f a second, %.0f s left", what, done, total, rate, (total - done) / rate)

        yield step
    seconds = time.perf_counter() - began
    if seconds > SHORT:
        log.info("%s: %d pictures in %.1f s, %.0f a second", what, done, seconds, done / seconds)


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items, at most `size` at a time."""
    return (items[start : start + size] for start in range(0, len(items), size))


def ahead(pool: Executor, work: Callable[[S], T], items: Sequence[S], size: int) -> Iterator[list[T]]:
    """What `work` makes of the items, `size` at a time; while these are used the next are made, and no more of them:
    whole pictures are large."""
    begun = pool.map(work, items[:size])
    for start in range(0, len(items), size):
        made = list(begun)
        begun = pool.map(work, items[start + size : start + 2 * size])
        yield made


def counted(parts: Iterable[T], what: str, total: int, size: Callable[[T], int]) -> Iterator[T]:
    """The parts, with a bar: each holds `size(part)` of the `total` pictures."""
    with progress(what, total) as step:
        for part in parts:
            yield part
            step(size(part))
