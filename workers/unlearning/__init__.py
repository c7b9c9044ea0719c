"""Unlearning for classifiers: methods, metrics, verification. Needs torch and numpy only.

Where to find what: README.md beside this file.
"""

from workers.unlearning import data, evaluation, lotus, methods, metrics, planning, verification

__all__ = ["data", "evaluation", "lotus", "methods", "metrics", "planning", "verification"]
