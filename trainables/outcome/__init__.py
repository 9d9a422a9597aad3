"""What counts as better, the one home of it: plain rows and numbers, no torch, no Ray, no pandas.

`feasible.py` has the bounds, and says which trials meet them; `objective.py` says what a search
minimises; `winner.py` says which trial wins.  The search, its stopper, the confirmation, the live
view and every report ask these, so that none of them has a rule of its own.
"""
