"""Whether answers and callbacks of OpenDSR can be signed, and will be believed."""

from datetime import datetime, timedelta

from app.config import Settings
from app.doctor.findings import Finding, ok, problem, warning
from app.keyring import BadKey
from app.opendsr import certificate
from app.opendsr.key_files import NotSetUp, own_path

SOON = timedelta(days=30)
RENEW = "Put a new certificate in place: docs/opendsr.md. It is read without a restart."


def signing(settings: Settings, *, now: datetime) -> Finding:
    """Makes nothing: a single machine has a key once OpenDSR was first asked for."""
    if settings.opendsr_key is None and not (
        settings.is_single_machine and own_path(settings).exists()
    ):
        return ok("opendsr", "not used")
    try:
        used = certificate.load(settings, make=False).certificate
    except (BadKey, NotSetUp, OSError) as error:
        said = str(error) if isinstance(error, BadKey) else "the key cannot be read"
        return problem("opendsr", said, "Set it right: until then OpenDSR is answered with 503.")
    until = used.leaf.not_valid_after_utc
    if until <= now:
        return problem("opendsr", f"the certificate has expired on {until:%Y-%m-%d}", RENEW)
    if now < used.leaf.not_valid_before_utc:
        return problem("opendsr", "the certificate is not valid yet", RENEW)
    if until <= now + SOON:
        return warning("opendsr", f"the certificate expires on {until:%Y-%m-%d}", RENEW)
    if used.is_self_signed:
        return warning(
            "opendsr",
            "the certificate is signed by itself, and controllers refuse it",
            "Have one issued for the domain of LOTUS_PUBLIC_URL, and name it in "
            "LOTUS_OPENDSR_CERTIFICATE.",
        )
    return ok("opendsr", f"certificate of {used.names[0]}, valid until {until:%Y-%m-%d}")
