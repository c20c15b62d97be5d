"""A Redis cache for values that are expensive to compute."""
