"""How long a completed case stays open, so that what was published for it can be taken back."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.erasure.tables import ErasureItem
from app.registry.policy import Policy
from app.registry.tables import Model


def window_of(policies: Iterable[Mapping[str, Any]]) -> timedelta:
    """The longest of the models' windows: a case closes as a whole."""
    days = (Policy.model_validate(policy).rollback_days for policy in policies)
    return timedelta(days=max(days, default=Policy().rollback_days))


def window_of_items(session: Session, request: UUID) -> timedelta:
    models = select(ErasureItem.model_id).where(ErasureItem.request_id == request)
    return window_of(session.scalars(select(Model.policy).where(Model.id.in_(models))))
