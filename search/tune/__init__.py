"""Everything that touches Ray Tune and its cluster."""
