"""Which URLs the mirror of --study-storage takes; known before anything heavy is imported."""

import importlib.util
import re

from search.record.redaction import redacted
from trainables.base.errors import InvalidInput

JOURNAL = "journal://"
"""How the URL of a file of Optuna's journal begins."""


def require_storage_url(url: str) -> None:
    """Raise InvalidInput unless `url` names a storage that can be mirrored to."""
    if not re.match(r"(sqlite|journal|postgresql|mysql)(\+\w+)?://", url):
        raise InvalidInput(
            f"--study-storage {redacted(url)} is not a storage: write sqlite:///FILE, "
            "journal:///FILE or postgresql://USER@HOST/DATABASE"
        )
    if not url.startswith(JOURNAL):
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError

        try:
            make_url(url)
        except (ArgumentError, ValueError) as error:
            raise InvalidInput(
                f"--study-storage {redacted(url)} is not the URL of a database: write "
                "postgresql://USER@HOST:PORT/DATABASE, special characters as %XX"
            ) from error
    if re.match(r"postgresql(\+psycopg)?://", url) and importlib.util.find_spec("psycopg") is None:
        raise InvalidInput(
            f"--study-storage {redacted(url)} needs a driver: pip install 'prune-privacy[postgres]'"
        )
