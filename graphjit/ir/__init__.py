"""The graph: what is computed, not how."""
