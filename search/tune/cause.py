"""What made a trial fail, on one line: its exception, or that its process is gone."""

from trainables.base.errors import final_exception

PROCESS_ENDED = (
    "the trial's process ended every time it was tried: no epoch within --trial-timeout, or "
    "killed, perhaps for its memory"
)
"""Replaces Ray's paragraph about an actor that died, which names neither cause."""

OUT_OF_MEMORY = (
    "Ray ended the trial's process every time it was tried, since its machine ran low on memory: "
    "fewer trials at a time (--concurrency, --cpus-per-trial) leave more to each"
)
"""Replaces Ray's page about the machine's memory."""

NOT_SAID = "the trial ended without saying why"


def cause(error: BaseException | str | None) -> str:
    """The whole exception that ended a trial, as `final_exception` says it.

    error: what Ray Tune keeps of it, a traceback as text more often than not.
    """
    said = str(error or "")
    if "The actor died unexpectedly" in said:
        return PROCESS_ENDED
    if "running low on memory" in said:
        return OUT_OF_MEMORY
    return final_exception(said) or (type(error).__name__ if error is not None else NOT_SAID)
