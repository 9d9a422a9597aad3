"""Whether what the live page needs is installed; asked before anything is begun."""

import importlib.util
import sys

from trainables.base.commandline import shown
from trainables.base.errors import InvalidInput

PACKAGES = ("plotly", "starlette", "uvicorn")


def require_dashboard() -> None:
    """Raise InvalidInput with the command that installs what is missing."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise InvalidInput(
            f"the live page needs {', '.join(missing)}, which "
            f"{'is' if len(missing) == 1 else 'are'} not installed: "
            f"{shown(sys.executable)} -m pip install 'prune-privacy[dashboard]'"
        )
