"""Alembic's scripts. A package, so that the service finds them wherever it is installed."""
