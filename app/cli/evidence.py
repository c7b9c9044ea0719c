"""`lotus certificate` fetches a certificate, `lotus verify` checks one without any service."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from app.certificates import verify as verifier
from app.cli.connection import connect
from app.cli.output import AsJson, Failure, console, plain, print_json


def certificate(
    id: Annotated[
        str, typer.Argument(help="A request (req_...) for its newest, or a certificate (crt_...).")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="A new file. Default: the standard output.")
    ] = None,
    wait: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds to wait for the signature.")
    ] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Fetch a certificate as the bundle that `lotus verify` checks, byte for byte."""
    with connect() as lotus:
        bundle = lotus.get_certificate(id, timeout=wait)
    if out is None:
        sys.stdout.buffer.write(bundle)
        sys.stdout.buffer.flush()
        return
    try:
        with out.open("xb") as file:
            file.write(bundle)
    except FileExistsError:
        raise Failure(f"{out} is there already, and is left as it is") from None
    except OSError as error:
        raise Failure(f"{out} cannot be written: {error.strerror}") from None
    if as_json:
        print_json({"file": str(out), "size": len(bundle)})
    else:
        console().print(f"{len(bundle)} bytes in {plain(out)}", soft_wrap=True)


def verify(
    bundle: Annotated[Path, typer.Argument(help="The file, exactly as it was handed out.")],
    key: Annotated[
        list[Path],
        typer.Option(
            "--key",
            help="The service's public key in PEM, which reached you by another way than the "
            "bundle. May be given several times.",
        ),
    ],
    request: Annotated[
        str | None, typer.Option(help="The request that it must be about (req_...).")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="A file of weights that it must be about.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a certificate offline: its signatures, its place in the log, and what it says."""
    if verifier.run(bundle, key, request, weights, as_json) != 0:
        raise typer.Exit(1)
