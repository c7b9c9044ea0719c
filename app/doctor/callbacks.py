"""Whether callbacks arrive: those given up, those late, and secrets that cannot be read."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session, undefer

from app.config import Settings
from app.doctor.findings import Finding, counted, ok, problem, warning
from app.ids import webhook_id
from app.keyring import Keyring
from app.webhooks.secrets import SecretUnreadable, unseal
from app.webhooks.sending import BadAuthorities, tls_context
from app.webhooks.tables import (
    OPEN_DELIVERY,
    DeliveryState,
    DisabledBy,
    WebhookDelivery,
    WebhookEndpoint,
)

LONG = timedelta(hours=6)


def deliveries(session: Session, *, now: datetime) -> Iterator[Finding]:
    """None of this concerns an erasure itself: those go on whatever becomes of a callback."""
    counts = select(func.count()).select_from(WebhookDelivery)
    dead = session.scalar(counts.where(WebhookDelivery.state == DeliveryState.DEAD)) or 0
    late = (
        session.scalar(
            counts.where(
                WebhookDelivery.state.in_(OPEN_DELIVERY), WebhookDelivery.created_at < now - LONG
            )
        )
        or 0
    )
    gone = session.scalars(
        select(WebhookEndpoint.id).where(
            WebhookEndpoint.disabled_by == DisabledBy.RECEIVER,
            WebhookEndpoint.removed_at.is_(None),
        )
    ).all()
    if dead:
        yield warning(
            "callbacks",
            f"{counted(dead, 'message')} given up after three days",
            "`lotus webhooks deliveries --state dead` says why; replay the newest of each request.",
        )
    if late:
        yield warning(
            "callbacks",
            f"{counted(late, 'message')} waiting for more than six hours",
            "Is the receiver up? Is a worker running, and may it call out of this network?",
        )
    for endpoint in gone:
        yield warning(
            "callbacks",
            f"{webhook_id(endpoint)} answered that it is gone, and was disabled",
            "Remove it, or enable it once it is back.",
        )
    if not (dead or late or gone):
        yield ok("callbacks", "none given up, none late")


def authorities(settings: Settings) -> Iterator[Finding]:
    try:
        tls_context(settings.callback_ca_file)
    except BadAuthorities as error:
        yield problem(
            "callbacks", str(error), "Mend or unset it: until then no callback can be sent."
        )


def secrets(session: Session, keyring: Keyring) -> Iterator[Finding]:
    for endpoint in session.scalars(
        select(WebhookEndpoint)
        .where(WebhookEndpoint.removed_at.is_(None))
        .options(undefer(WebhookEndpoint.secret))
    ):
        try:
            unseal(keyring, endpoint.id, endpoint.secret)
        except SecretUnreadable:
            yield warning(
                "callbacks",
                f"the secret of {webhook_id(endpoint.id)} is of another LOTUS_SECRET_KEY",
                "POST /api/v1/webhooks/{id}/rotate-secret, and give the receiver the new one.",
            )
