"""Every protocol in which receivers are spoken to, loaded in one place: whoever changes a request
must be able to write what its receivers are told."""

import app.opendsr.callbacks  # noqa: F401
