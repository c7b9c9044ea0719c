"""Controllers, as the operator makes and changes them."""

from datetime import datetime

from sqlalchemy.orm import Session

from app.audit import kinds, log
from app.ids import controller_id
from app.keys.tables import Controller


def add(
    session: Session, name: str, *, jurisdiction: str | None, actor: str, now: datetime
) -> Controller:
    """Raises IntegrityError if the name is taken."""
    made = Controller(name=name, jurisdiction=jurisdiction, created_at=now)
    session.add(made)
    session.flush()
    facts = kinds.ControllerCreated(
        controller=controller_id(made.id), jurisdiction=jurisdiction, actor=actor
    )
    log.append(session, facts, now=now)
    return made


def set_jurisdiction(
    session: Session, controller: Controller, place: str | None, *, actor: str, now: datetime
) -> None:
    """Of requests that come from now on. It decides when answers are due, so the log has it."""
    if controller.jurisdiction == place:
        return
    facts = kinds.JurisdictionChanged(
        controller=controller_id(controller.id),
        from_jurisdiction=controller.jurisdiction,
        jurisdiction=place,
        actor=actor,
    )
    controller.jurisdiction = place
    log.append(session, facts, now=now)
