"""The Celery application of the workers, impatient: what takes a minute takes seconds."""

from workers import station
from workers.celery_app import app

station.HEARTBEAT_SECONDS, station.SILENCE_SECONDS = 1.0, 5.0

__all__ = ["app"]
