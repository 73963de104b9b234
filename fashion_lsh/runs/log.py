"""Log file of a run."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class RunLogHandler(logging.FileHandler):
    """File handler whose write errors name the file."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  name of the base class
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif record.exc_info is None:  # otherwise another exception is being logged already
            raise self._with_path(error)

    def close(self) -> None:
        try:
            super().close()
        except OSError as error:  # while writing buffered records
            raise self._with_path(error) from error

    def _with_path(self, error: OSError) -> OSError:
        reason = error.strerror or error
        return OSError(
            f"{self.baseFilename} could not be written ({reason}); free some space and run the command again"
        )


@contextmanager
def log_to_file(path: Path) -> Iterator[None]:
    """Append the log records of the block, including an exception with its traceback, to a file.

    Raises:
        OSError: the file cannot be written.
    """
    handler = RunLogHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    except Exception:  # the caller prints one line; the file gets the traceback
        logger = logging.getLogger(__name__)
        handler.handle(
            logger.makeRecord(logger.name, logging.ERROR, "", 0, "failed: %s", (path.parent,), sys.exc_info())
        )
        raise
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
