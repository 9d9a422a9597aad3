"""A run folder looked at again and again: only what is new or has changed is read."""

from analysis import statistics
from analysis.folder import progress_of
from analysis.load import Known, RunRecord, load_run
from trainables.base.storage import Place, Version, version_of, versions
from trainables.progress import RunProgress

_TABLES = ("trials.parquet", "confirm/terms.parquet", "audit")
_FILES = ("config.json", "report.html")


class Watched:
    """One run, as it was when last looked at."""

    def __init__(self, folder: Place, whole: Place | None = None) -> None:
        """Raises InvalidInput when the folder is not a run, or cannot be read.

        whole: the folder of the comparison that it is a part of.
        """
        self.folder = folder
        self.resumed_by = folder if whole is None else whole
        self._known: Known = {}
        self._seen: list[object] = []
        self.number = 0
        """How often the tables had changed."""

        self.look()

    def look(self) -> None:
        """Read what has changed. Raises InvalidInput for a file that is damaged."""
        now = self._versions()
        if now == self._seen:
            return
        run: RunRecord = load_run(self.folder, self._known)
        self.run = run
        self.best = statistics.confirmed_winner(run.trials, run.config, run.crossed)
        self.ended = version_of(self.folder / "report.html") is not None
        self._seen, self.number = now, self.number + 1

    def progress(self) -> RunProgress | None:
        """How far it is; None of a run that wrote no such file. Raises InvalidInput if damaged."""
        return progress_of(self.folder)

    def _versions(self) -> list[object]:
        files: list[Version] = [version_of(self.folder / name) for name in _FILES]
        return [*files, *(versions(self.folder / name) for name in _TABLES)]
