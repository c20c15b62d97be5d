"""HTTP API on FastAPI."""
