"""What a run tells while it is made, as a file."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class RunLogHandler(logging.FileHandler):
    """A run's log, that names its file where it cannot be written."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  Python's own name
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif record.exc_info is None:  # else another failure is on its way, and is told
            raise self._with_path(error)

    def close(self) -> None:
        try:
            super().close()
        except OSError as error:  # what was kept back to be written still
            raise self._with_path(error) from error

    def _with_path(self, error: OSError) -> OSError:
        reason = error.strerror or error
        return OSError(f"{self.baseFilename} could not be written ({reason}): free some space, then go on")


@contextmanager
def log_to_file(path: Path) -> Iterator[None]:
    """Add what is logged in the block, a failure too, to a file.

    Raises:
        OSError: the file cannot be written.
    """
    handler = RunLogHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    except Exception:  # the console is told in one line, by whoever asked
        logger = logging.getLogger(__name__)
        handler.handle(
            logger.makeRecord(logger.name, logging.ERROR, "", 0, "failed: %s", (path.parent,), sys.exc_info())
        )
        raise
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
