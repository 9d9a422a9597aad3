"""What a run leaves on disk: its folder, its parquet ledger, and the mirror of its study."""
