"""`lotus webhooks`: who is told of changes, and what became of each message."""

from itertools import islice
from typing import Annotated

import typer

from app.cli.connection import connect
from app.cli.output import AsJson, console, plain, print_json, print_rows, printable
from client import Delivery, NewWebhook

webhooks = typer.Typer(help="Callbacks: receivers and deliveries.", no_args_is_help=True)

NEWEST = 50
WebhookId = Annotated[str, typer.Argument(help="A webhook (whk_...).")]


@webhooks.command()
def create(
    url: Annotated[str, typer.Argument(help="https://...")],
    events: Annotated[
        str | None, typer.Option(help="Comma-separated event types. Default: every event.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Register a receiver. Its secret is shown only now."""
    chosen = None if events is None else [name.strip() for name in events.split(",")]
    with connect() as lotus:
        made = lotus.create_webhook(url, events=chosen)
    _print_new(made, as_json=as_json)


@webhooks.command(name="list")
def list_(as_json: AsJson = False) -> None:
    """Show the receivers."""
    with connect() as lotus:
        found = list(lotus.list_webhooks())
    if as_json:
        print_json({"items": [one.model_dump(mode="json") for one in found]})
        return
    rows = [
        [
            one.id,
            one.url,
            "every event" if one.events is None else ", ".join(one.events),
            "" if one.disabled_at is None else f"disabled by {one.disabled_by}",
        ]
        for one in found
    ]
    print_rows(rows, "webhook", "url", "events", "")


@webhooks.command()
def remove(webhook: WebhookId, as_json: AsJson = False) -> None:
    """End a receiver at once. What waits for it is not sent any more."""
    with connect() as lotus:
        removed = lotus.remove_webhook(webhook)
    if as_json:
        print_json(removed.model_dump(mode="json"))
    else:
        console().print(f"{plain(removed.id)} removed")


@webhooks.command()
def rotate(
    webhook: WebhookId,
    overlap: Annotated[
        int, typer.Option(help="Seconds in which the old secret signs as well.", min=0)
    ] = 86_400,
    as_json: AsJson = False,
) -> None:
    """Make a new secret. It is shown only now."""
    with connect() as lotus:
        made = lotus.rotate_webhook_secret(webhook, overlap_seconds=overlap)
    _print_new(made, as_json=as_json)


@webhooks.command()
def test(webhook: WebhookId, as_json: AsJson = False) -> None:
    """Send a ping. `lotus webhooks deliveries` tells whether it arrived."""
    with connect() as lotus:
        sent = lotus.test_webhook(webhook)
    _print_delivery(sent, as_json=as_json)


@webhooks.command()
def deliveries(
    state: Annotated[
        str | None, typer.Option(help="queued, waiting, delivered, dead or stopped.")
    ] = None,
    request: Annotated[str | None, typer.Option(help="Of this request (req_...).")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the newest messages and what became of them."""
    with connect() as lotus:
        found = list(
            islice(lotus.list_deliveries(state=state, request=request, limit=NEWEST), NEWEST)
        )
    if as_json:
        print_json({"items": [one.model_dump(mode="json") for one in found]})
        return
    rows = [
        [
            one.id,
            one.event,
            one.state,
            one.attempts,
            one.last_status,
            one.last_error,
            None if one.next_attempt_at is None else f"{one.next_attempt_at:%Y-%m-%d %H:%M}",
        ]
        for one in found
    ]
    print_rows(rows, "message", "event", "state", ">tries", ">status", "error", "next")


@webhooks.command()
def replay(
    message: Annotated[str, typer.Argument(help="A message (msg_...).")], as_json: AsJson = False
) -> None:
    """Send a message again, under the same id. Of one request, only the newest."""
    with connect() as lotus:
        sent = lotus.replay_delivery(message)
    _print_delivery(sent, as_json=as_json)


def _print_new(made: NewWebhook, *, as_json: bool) -> None:
    if as_json:
        print_json(made.model_dump(mode="json"))
        return
    out = console()
    out.print(f"[bold]{plain(made.id)}[/bold]  {plain(made.url)}")
    out.print("The secret, shown only now:")
    typer.echo(printable(made.secret))


def _print_delivery(sent: Delivery, *, as_json: bool) -> None:
    if as_json:
        print_json(sent.model_dump(mode="json"))
    else:
        console().print(f"{plain(sent.id)}  {plain(sent.state)}")
