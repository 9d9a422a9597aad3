"""A run as it is now: what the live page shows, made from the run folder alone."""
