"""Column types as the scripts write them. A script must give the same table for ever, so nothing
here is ever changed: a new need gets a new name."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

Time = sa.DateTime(timezone=True)
Json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def one_of(name: str, *values: str) -> sa.Enum:
    """Text with a CHECK, called `ck_<table>_<name>`."""
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=40)
