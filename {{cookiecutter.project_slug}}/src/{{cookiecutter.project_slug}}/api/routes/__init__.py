"""What is served: the `router` of each module here, found by being here."""
