"""One small document for whoever polls: is a request in danger, what is computed, did it work."""
