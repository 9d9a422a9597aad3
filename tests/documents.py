"""The documents that users read: the repository's own pages and those of docs/."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

DOCUMENTS = sorted(
    str(path.relative_to(ROOT)) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))
)

USERS = [name for name in DOCUMENTS if name == "README.md" or name.startswith("docs/")]
"""Those that explain the program; the rest is about the repository."""


def read(document: str) -> str:
    """The text of one, by its path in the repository."""
    return (ROOT / document).read_text()


def everything() -> str:
    """All that users read, one page after the other."""
    return "\n".join(map(read, USERS))
