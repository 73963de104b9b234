"""Files that are either whole or not there."""

import csv
import fcntl
import hashlib
import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

log = logging.getLogger(__name__)


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Give a name beside `path` to write to; rename it to `path` when the block ends well, remove it otherwise.

    Raises:
        OSError: the block could not write (a full disk, say); names `path`, which is left as it was.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"{path} could not be written ({reason}): free some space, or choose another folder") from error
    finally:
        with suppress(OSError):  # of a file system that lets nothing be written, nor removed
            temporary.unlink(missing_ok=True)


def check_writable(folder: str | Path) -> None:
    """Make a folder where there is none, and hold it to taking files.

    Raises:
        OSError: it does not; names it.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"{folder} takes no files ({error.strerror or error}): choose another folder") from error


def check_disk_space(folder: Path, required: int) -> None:
    """Hold a folder's disk to having room for `wanted` bytes.

    Raises:
        OSError: it has not; tells how much is missing.
    """
    free = shutil.disk_usage(folder).free
    if free < required:
        raise OSError(
            f"{folder}: {required / 1e6:,.0f} MB are wanted and {free / 1e6:,.0f} MB are free:"
            " free some space, or choose another folder (runs=...)"
        )


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Keep a folder for one process at a time, by a lock beside it; a link to the folder is the folder.

    Raises:
        ValueError: another process has it.
        OSError: its disk has no locks.
    """
    resolved = folder.resolve()
    resolved.parent.mkdir(parents=True, exist_ok=True)
    with (resolved.parent / f".{resolved.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(f"{folder} is in use by another process: wait until it has ended") from error
        except OSError as error:
            reason = error.strerror or error
            raise OSError(f"{folder} cannot be locked ({reason}): choose a disk that has locks (runs=...)") from error
        yield


def update_symlink(link: Path, target: Path) -> None:
    """Make `link` point to `target`, in one step; where that cannot be, tell of it and go on."""
    temporary = link.with_name(f".latest.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        temporary.symlink_to(os.path.relpath(target, link.parent))
        temporary.replace(link)
    except OSError as error:  # a folder stands there, or the file system has no links
        temporary.unlink(missing_ok=True)
        log.warning("%s does not point to %s: %s", link, target, error)


def csv_rows(lines: Iterable[str], first: int = 1) -> Iterator[tuple[int, list[str]]]:
    """Rows of CSV, each with the number of the line on which it begins; `first`: that of the first line given.

    Raises:
        ValueError: a quote is not closed where it should be, which would swallow the rows after it, or a cell is longer
            than Python reads; names the line.
    """
    row_lines: list[str] = []  # lines of the row that is being read

    def recorded() -> Iterator[str]:
        for line in lines:
            row_lines.append(line)
            yield line

    reader, start_line = csv.reader(recorded(), strict=True), first
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "field limit" in str(error):
                limit = f"a cell of more than {csv.field_size_limit():,} characters"
                raise ValueError(f"line {start_line}: {limit}: is a quote before it not closed?") from error
            if len(row_lines) > 1 or "unexpected end" in str(error):
                hint = "close it, or double one that belongs to a quoted cell"
                raise ValueError(f"line {start_line}: a quote that opens there is not closed: {hint}") from error
            [cells] = csv.reader(row_lines)  # letters after a closing quote, all on one line: nothing is swallowed
        yield start_line, cells
        start_line += len(row_lines)
        row_lines.clear()


def checksum(path: str | Path) -> str:
    """SHA-256 of a file, in hex."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """Where what can be made again is kept: `fashion_lsh` in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fashion_lsh"
