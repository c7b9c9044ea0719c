"""Who may call: controllers (the organisations that are responsible), their API keys, and the
sessions of browsers that were opened with one."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base
from app.ids import new_id


class Controller(Base):
    __tablename__ = "controllers"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    # Whose public holidays count for its deadlines, in ISO 3166; none if empty.
    jurisdiction: Mapped[str | None] = mapped_column(String(6))
    created_at: Mapped[datetime]


class ApiKey(Base):
    """Only a prefix, for people, and an HMAC of the key are kept: the key itself is shown once.

    `succeeds_id` is the key that this one takes the place of by rotation, and `holder_id` the first
    of them all, which is the key itself where none came before: keys of one holder share it.
    `made_by_id` is the key that asked for this one over HTTP, and was shown it.
    """

    __tablename__ = "api_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    controller_id: Mapped[UUID] = mapped_column(ForeignKey("controllers.id"), index=True)
    name: Mapped[str] = mapped_column(String(200))
    prefix: Mapped[str] = mapped_column(String(16))
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    scopes: Mapped[list[Any]]
    holder_id: Mapped[UUID] = mapped_column(ForeignKey("api_keys.id"), index=True)
    succeeds_id: Mapped[UUID | None] = mapped_column(ForeignKey("api_keys.id"))
    made_by_id: Mapped[UUID | None] = mapped_column(ForeignKey("api_keys.id"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class BrowserSession(Base):
    """A digest stands for the token that a browser holds. The row goes when the session ends."""

    __tablename__ = "browser_sessions"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    key_id: Mapped[UUID] = mapped_column(ForeignKey("api_keys.id"), index=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
