"""Routes of the API: each module's `router` is included without registration."""
