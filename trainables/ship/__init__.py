"""The forms in which a finished network leaves a run; they know files and no run."""
