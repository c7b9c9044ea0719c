"""Databases of one kind share what was compiled, and no statement is taken for another."""

from pathlib import Path

from sqlalchemy import literal, select

from app.db import Database
from tests.engines import compiled


def test_a_statement_is_compiled_once_for_all_databases_and_keeps_its_own_values(
    tmp_path: Path,
) -> None:
    sizes = []
    for number in range(3):
        database = Database(f"sqlite:///{tmp_path / str(number)}")
        with database.read() as session:
            query = select((literal(number) + 1).label("compiled_once"))
            assert session.scalars(query).all() == [number + 1]
        sizes.append(len(compiled))
        database.dispose()
    assert sizes == [sizes[0]] * 3


def test_statements_of_two_shapes_are_two(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'lotus.db'}")
    before = len(compiled)
    with database.read() as session:
        for name in ("shape_one", "shape_two"):
            assert session.execute(select(literal(1).label(name))).one()._fields == (name,)
    assert len(compiled) == before + 2
    database.dispose()
