"""Reads what a run measured: tables in, statistics, pictures and the report out."""

import sys

if sys.argv[:1] == ["-m"] and not sys.flags.safe_path and __path__ != [f"{sys.path[0]}/analysis"]:
    folder = sys.path.pop(0)  # a command, called in a folder whose files Python would import
    from trainables.base.commandline import refuse_namesakes

    refuse_namesakes(folder, "trainables")
