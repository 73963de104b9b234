"""Recognise run folders written on this machine: an HMAC of the config, under a key in the user's state folder.

A run of this machine may use its user's own classes. Of a received run, only classes of this package are imported,
since importing a module executes its code.
"""

import hashlib
import hmac
import json
import logging
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from platformdirs import user_state_path

from fashion_lsh.io.files import atomic_write

log = logging.getLogger(__name__)

SIGNATURE_FILE = "signature.json"
KEY_BYTES = 32


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write the resolved config of a run, config.yaml, and its signature."""
    with atomic_write(folder / "config.yaml") as temporary:
        temporary.write_text(yaml.safe_dump(dict(config), sort_keys=False))
    sign(folder / "config.yaml")


def sign(config_file: Path) -> None:
    """Write the signature of a config file beside it; log a warning if the key cannot be created."""
    try:
        key = _read_or_create_key()
    except OSError as error:
        log.warning("Run not signed (%s): commands that use your own classes of this run need trust=true", error)
        return
    with atomic_write(config_file.with_name(SIGNATURE_FILE)) as temporary:
        temporary.write_text(json.dumps({"hmac-sha256": _signature(config_file, key)}))


def is_signed(config_file: Path) -> bool:
    """Return whether this machine signed a config file, and the file has not changed since."""
    key_file, signature_file = _key_file(), config_file.with_name(SIGNATURE_FILE)
    if not key_file.is_file() or not signature_file.is_file():
        return False
    try:
        signature = str(json.loads(signature_file.read_text())["hmac-sha256"])
    except (ValueError, KeyError, TypeError):  # a damaged signature is no signature
        return False
    return hmac.compare_digest(signature.encode(), _signature(config_file, key_file.read_bytes()).encode())


def _signature(config_file: Path, key: bytes) -> str:
    return hmac.new(key, config_file.read_bytes(), hashlib.sha256).hexdigest()


def _key_file() -> Path:
    return user_state_path("fashion-lsh") / "key"


def _read_or_create_key() -> bytes:
    """Read the key of this user; create it on first use, readable by this user only."""
    file = _key_file()
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent) as temporary:  # readable by this user only
            temporary.write(os.urandom(KEY_BYTES))
            temporary.flush()
            with suppress(FileExistsError):  # another process was faster
                os.link(temporary.name, file)
    return file.read_bytes()
