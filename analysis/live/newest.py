"""The run that a folder shows: itself, or, of a comparison of defences, the one at work."""

from typing import Any

from analysis.folder import begun_runs, config_of, is_comparison, progress_of
from analysis.live.watch import Watched
from trainables.base.storage import Place

NOT_BEGUN: dict[str, Any] = {
    "state": "running",
    "headline": "The dense networks that all defences share are being trained",
    "detail": "The first defence comes next.",
    "done": None,
    "facts": [],
    "stages": None,
}
"""What is said of a comparison before its first run, as `state.now_of` says it of a run."""


class Newest:
    """What a folder shows, looked at again and again."""

    def __init__(self, folder: Place) -> None:
        """Raises InvalidInput when it holds neither a run nor a comparison, or cannot be read."""
        self._folder = folder
        self._of_defences = is_comparison(folder)
        self._watched: Watched | None = None
        self.defence = ""
        """Of a comparison: which run it is, and of how many."""

        self.look()

    @property
    def title(self) -> dict[str, str]:
        """Title and name of what is shown."""
        config = config_of(self._folder)
        title = "Comparison of defences"
        if not self._of_defences:
            search = config["search"]
            title = f"{search.get('model', 'network')} on {search.get('dataset', 'data')}"
        return {"title": title, "run_id": str(config.get("run_id"))}

    def look(self) -> Watched | None:
        """The run, read anew where it has changed; None while a comparison has begun none.

        Raises InvalidInput for a file that is damaged.
        """
        folder = self._folder
        if self._of_defences:
            begun, asked = begun_runs(folder)
            if not begun:
                return None
            folder = max(reversed(begun), key=_last_sign)  # of equals the last
            self.defence = f"{folder.name}, {len(begun)} of {asked}"
        if self._watched is None or self._watched.folder != folder:
            self._watched = Watched(folder, self._folder)
        else:
            self._watched.look()
        return self._watched


def _last_sign(run: Place) -> str:
    """When a run last wrote how far it is, as ISO 8601 in UTC."""
    progress = progress_of(run)
    return "" if progress is None else progress.updated_at
