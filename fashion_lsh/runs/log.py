"""Log file of a run: train.log."""

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
        elif record.exc_info is None:  # do not hide an exception that is being logged
            raise self._with_path(error)

    def close(self) -> None:
        try:
            super().close()
        except OSError as error:  # closing writes buffered records
            raise self._with_path(error) from error

    def _with_path(self, error: OSError) -> OSError:
        reason = error.strerror or error
        return OSError(
            f"{self.baseFilename} could not be written ({reason}); free disk space and run the command again"
        )


@contextmanager
def log_to_file(path: Path) -> Iterator[None]:
    """Append log records of the `with` block to a file, including the traceback of an exception.

    Raises:
        OSError: the log file cannot be written.
    """
    handler = RunLogHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    except Exception:  # the caller prints the error in one line; the log file contains the traceback
        logger = logging.getLogger(__name__)
        handler.handle(
            logger.makeRecord(logger.name, logging.ERROR, "", 0, "failed: %s", (path.parent,), sys.exc_info())
        )
        raise
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()
