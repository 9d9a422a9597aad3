"""Reads what a run measured: tables in, statistics, pictures and the report out."""
