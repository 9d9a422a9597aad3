"""Writes cluster files for `ray up`, and stops Ray on hosts of your own."""
