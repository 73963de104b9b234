"""Atomic writes, folder locks, disk checks, CSV and checksums."""

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
from typing import IO

log = logging.getLogger(__name__)


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; rename it to `path` on success, delete it on an exception.

    Raises:
        OSError: writing failed, for example on a full disk. The message names `path`; an old file is kept.
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
        raise OSError(f"{path} could not be written ({reason}); free disk space or choose another folder") from error
    finally:
        with suppress(OSError):  # the file system may be read-only
            temporary.unlink(missing_ok=True)


def check_writable(folder: str | Path) -> None:
    """Create a folder if it is missing, and check that files can be written to it.

    Raises:
        OSError: the folder is not writable.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"{folder} is not writable ({error.strerror or error}); choose another folder") from error


def check_disk_space(folder: Path, required_bytes: int) -> None:
    """Check that the disk of a folder has `required_bytes` of free space.

    Raises:
        OSError: the disk has less free space; the message names the required and the free MB.
    """
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < required_bytes:
        raise OSError(
            f"{folder}: {required_bytes / 1e6:,.0f} MB required, {free_bytes / 1e6:,.0f} MB free; "
            "free disk space or choose another folder (runs=...)"
        )


@contextmanager
def folder_lock(folder: Path, wait: bool = False) -> Iterator[None]:
    """Lock a folder for one process, with a lock file next to the folder. Symlinks are resolved first.

    The lock is released at the end of the block, or when the process ends; the lock file remains.

    Args:
        folder: folder to lock; it need not exist.
        wait: whether to wait until another process releases the lock.

    Raises:
        ValueError: another process holds the lock, and `wait` is False.
        OSError: the file system does not support locks.
    """
    resolved = folder.resolve()
    resolved.parent.mkdir(parents=True, exist_ok=True)
    with (resolved.parent / f".{resolved.name}.lock").open("w") as file:
        try:
            _lock(file, folder, wait)
        except BlockingIOError as error:
            raise ValueError(f"{folder} is in use by another process; wait until that process has ended") from error
        except OSError as error:
            reason = error.strerror or error
            raise OSError(
                f"{folder} cannot be locked ({reason}); choose a file system that supports locks (runs=...)"
            ) from error
        try:
            yield
        finally:  # closing the file is not enough: loader processes started in the block have copies of it
            fcntl.flock(file, fcntl.LOCK_UN)


def _lock(file: IO[str], folder: Path, wait: bool) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if not wait:
            raise
        log.info("Waiting for another process that uses %s", folder)
        fcntl.flock(file, fcntl.LOCK_EX)


def update_symlink(link: Path, target: Path) -> None:
    """Point the symlink `link` to `target` atomically; log a warning if this fails."""
    temporary = link.with_name(f".latest.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        temporary.symlink_to(os.path.relpath(target, link.parent))
        temporary.replace(link)
    except OSError as error:  # `link` is a folder, or the file system does not support symlinks
        temporary.unlink(missing_ok=True)
        log.warning("Could not point %s to %s: %s", link, target, error)


def csv_rows(lines: Iterable[str], first: int = 1) -> Iterator[tuple[int, list[str]]]:
    """Parse CSV; yield each row with its first line number.

    Args:
        lines: lines of the file.
        first: line number of the first of `lines`.

    Raises:
        ValueError: a quote is not closed, so that its cell would contain the following rows, or a cell exceeds csv's
            field size limit. The message names the line.
    """
    row_lines: list[str] = []  # lines of the current row

    def record_lines() -> Iterator[str]:
        for line in lines:
            row_lines.append(line)
            yield line

    reader, start_line = csv.reader(record_lines(), strict=True), first
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "field limit" in str(error):
                problem = f"a cell has more than {csv.field_size_limit():,} characters"
                raise ValueError(f"line {start_line}: {problem}; check for an unclosed quote before it") from error
            if len(row_lines) > 1 or "unexpected end" in str(error):
                hint = "close it, or double a quote inside a quoted cell"
                raise ValueError(f"line {start_line}: unclosed quote; {hint}") from error
            [cells] = csv.reader(row_lines)  # characters after a closing quote affect only this row
        yield start_line, cells
        start_line += len(row_lines)
        row_lines.clear()


def checksum(path: str | Path) -> str:
    """Return the SHA-256 of a file as a hex string."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """Folder for files that can be recomputed: `fashion_lsh` in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fashion_lsh"
