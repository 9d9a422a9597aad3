"""The live page of a run: a server on loopback that reads the run's folder."""
