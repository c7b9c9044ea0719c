"""The baseline of `benchmarks.api`: the least that FastAPI and SQLAlchemy do for a call.

One row goes in, by a body of the same form, in one transaction with the service's own settings of
the database; one row comes out by its key; and one document is given out without any database. No
key, no look-up, no log.
"""

import os
from collections.abc import Iterator
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import Depends, FastAPI, Response
from pydantic import BaseModel
from sqlalchemy import JSON, MetaData, String, Uuid
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from app.db import Database


class Base(DeclarativeBase):
    metadata = MetaData()


class Row(Base):
    __tablename__ = "bare_rows"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    external_id: Mapped[str] = mapped_column(String(200))
    content: Mapped[Any] = mapped_column(JSON)


class Body(BaseModel):
    external_id: str
    subjects: list[dict[str, str]]
    regulation: str


class View(BaseModel):
    id: UUID
    external_id: str


def create_app() -> FastAPI:
    database = Database(os.environ["BARE_DATABASE_URL"])
    Base.metadata.create_all(database.engine)
    app = FastAPI()

    def writing() -> Iterator[Session]:
        with database.write() as session:
            yield session

    def reading() -> Iterator[Session]:
        with database.read() as session:
            yield session

    Writing = Annotated[Session, Depends(writing, scope="function")]
    Reading = Annotated[Session, Depends(reading, scope="function")]

    @app.post("/rows", status_code=202)
    def insert(body: Body, session: Writing) -> View:
        row = Row(id=uuid4(), external_id=body.external_id, content=body.model_dump())
        session.add(row)
        session.flush()
        return View(id=row.id, external_id=row.external_id)

    @app.get("/rows/{id}")
    def read(id: UUID, session: Reading) -> View:
        row = session.get_one(Row, id)
        return View(id=row.id, external_id=row.external_id)

    @app.get("/document")
    def document() -> dict[str, int]:
        return {"open": 12, "overdue": 0}

    @app.get("/livez")
    def alive() -> Response:
        return Response()

    return app
