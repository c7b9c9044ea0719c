"""Every table, imported in one place: what migrations compare with and tests create."""

from sqlalchemy import MetaData

import app.audit.tables
import app.certificates.tables
import app.erasure.closing_tables
import app.erasure.decision_tables
import app.erasure.recheck_tables
import app.erasure.tables
import app.erasure.worker_tables
import app.http.tables
import app.keys.tables
import app.opendsr.tables
import app.registry.pull_tables
import app.registry.tables
import app.restore.tables
import app.webhooks.tables  # noqa: F401
from app.db import Base

metadata: MetaData = Base.metadata
