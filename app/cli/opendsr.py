"""`lotus opendsr`: what OpenDSR answers and callbacks are signed with."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.on_the_data import read_settings
from app.cli.output import AsJson, Failure, console, plain, print_json
from app.config import Settings
from app.keyring import BadKey
from app.opendsr import certificate
from app.opendsr.certificate import Seal
from app.opendsr.key_files import NotSetUp, host_of, own_path, paths_of

opendsr = typer.Typer(help="The OpenDSR interface.", no_args_is_help=True)


@opendsr.command("certificate")
def show_certificate(
    create: Annotated[
        bool, typer.Option("--create", help="Make key and certificate, unless they are there.")
    ] = False,
    renew: Annotated[
        bool, typer.Option("--renew", help="A new certificate of the same key: nobody notices.")
    ] = False,
    new_key: Annotated[
        bool,
        typer.Option("--new-key", help="Another key; the old certificate is served beside it."),
    ] = False,
    write: Annotated[
        Path | None, typer.Option(help="Write the certificate, in PEM, into this file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what is signed with, and until when.

    What is made here nobody else vouches for: good for trying out, and refused by controllers.
    Renewing is for the files that a single machine makes for itself; files that the settings name
    are replaced by whoever issues them, and read again by a running service.
    """
    settings = read_settings()
    try:
        if create:
            _create(settings)
        if renew or new_key:
            _replace(settings, new_key=new_key)
        if _has_none_yet(settings) and not create:
            raise Failure("there is no certificate yet: --create makes one")
        seal = certificate.load(settings)
    except NotSetUp:
        raise Failure(
            "LOTUS_OPENDSR_KEY and LOTUS_OPENDSR_CERTIFICATE are not set: OpenDSR is not offered"
        ) from None
    except (BadKey, OSError) as error:
        raise Failure(str(error)) from None
    if write is not None:
        write.write_bytes(seal.certificate.pem)
    if as_json:
        print_json(_facts(seal))
    else:
        _say(seal)


def _has_none_yet(settings: Settings) -> bool:
    own = own_path(settings)
    return settings.opendsr_key is None and settings.is_single_machine and not own.exists()


def _create(settings: Settings) -> None:
    if settings.opendsr_key is None:
        if not settings.is_single_machine:
            raise Failure("LOTUS_OPENDSR_KEY and LOTUS_OPENDSR_CERTIFICATE must name the files")
        return  # loading makes it
    domain = host_of(settings) or certificate.OWN_DOMAIN
    certificate.make_files(settings.opendsr_key, paths_of(settings)[0], domain)


def _replace(settings: Settings, *, new_key: bool) -> None:
    if settings.opendsr_key is not None or not settings.is_single_machine:
        raise Failure("the files are yours: replace them, and see docs/opendsr.md for the order")
    certificate.make_own(settings)
    certificate.replace_own(settings, new_key=new_key)


def _facts(seal: Seal) -> dict[str, Any]:
    used = seal.certificate
    return {
        "domain": seal.domain,
        "sha256": used.fingerprint,
        "valid_until": used.leaf.not_valid_after_utc.isoformat(),
        "self_signed": used.is_self_signed,
        "also_served": sorted(set(seal.served) - {used.fingerprint}),
    }


def _say(seal: Seal) -> None:
    out, used = console(), seal.certificate
    out.print(f"domain       {plain(seal.domain)}")
    out.print(f"certificate  {used.fingerprint}")
    out.print(f"valid until  {used.leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    for other in sorted(set(seal.served) - {used.fingerprint}):
        out.print(f"also served  {other}")
    if used.is_self_signed:
        out.print("It is signed by itself: controllers refuse it.")
