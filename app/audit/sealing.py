"""Signs the head of the log."""

from app.audit.checkpoints import newest as newest_checkpoint

__all__ = ["newest_checkpoint"]
