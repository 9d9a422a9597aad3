"""The suite on every Python that is promised: `make matrix`. Those that a machine lacks are named.

All of constraints.txt has wheels for each of them on Linux x86-64, Ray and torch too.
"""

import nox

PYTHONS = ("3.11", "3.12", "3.13", "3.14")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The quick tests, or what stands behind `--`, such as `-- -m slow`."""
    session.install("-c", "constraints.txt", "-e", ".[test]")
    session.run("python", "-m", "pytest", *(session.posargs or ["-m", "not slow"]))
