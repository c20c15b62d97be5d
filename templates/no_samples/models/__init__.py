"""Models of the application. A new module in this folder needs no registration."""
