"""The HTTP API: FastAPI, served by `python -m` with the name of this package."""
