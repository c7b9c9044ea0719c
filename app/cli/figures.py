"""A run's figures for a person: epochs, the five figures of the first page, accuracies, verdict."""

from collections.abc import Mapping
from typing import Any

from rich.padding import Padding

from app.cli.output import console, plain, print_rows
from client import Run

LEADING_SCORE = "phi"
SETS = {
    "forget": "forget set: the subject's training samples",
    "retain": "retain set: training samples that were kept",
    "validation": "validation: unseen, and used to steer the run",
    "test": "unseen: samples that no model was trained on",
}
ATTACKS = {
    "phi": "loss attack",
    "margin": "margin attack",
    "neg_entropy": "entropy attack",
    "kuiper": "distribution test",
    "band": "band attack",
    "learned_attack": "learned attack",
    "stability_attack": "stability attack",
}

Figures = Mapping[str, Any]


def number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def interval(low: float | None, high: float | None, digits: int = 3) -> str:
    return f"[{number(low, digits)}, {number(high, digits)}]"


def print_run(run: Run) -> None:
    out = console()
    out.print(
        f"[bold]{run.id}[/bold]  {run.state}  rung {run.rung}"
        f" ({plain(run.step)}), attempt {run.attempt}"
    )
    out.print(f"  method {plain(run.method)}, mode {plain(run.mode)}, device {plain(run.device)}")
    if run.error_class:
        out.print(f"  error: {plain(run.error_class)}: {plain(run.error_detail)}")
    if run.epochs:
        print_epochs(run)
    if run.metrics:
        print_first_page(run.metrics)
        print_accuracies(run.metrics)
        print_reference(run.metrics)
    if run.verdict:
        print_verdict(run)


def print_epochs(run: Run) -> None:
    rows = [
        [
            epoch["number"],
            number(epoch["temperature"]),
            f"{epoch['accuracy_gap']:+.3f}",
            number(epoch["validation_auc"]),
            number(epoch.get("validation_member_excess")),
            number(epoch["validation_band"]),
            number(epoch["loss"]),
            f"{epoch['seconds']:.1f}",
            "best" if epoch["best"] else "",
        ]
        for epoch in run.epochs
    ]
    print_rows(
        rows,
        ">epoch",
        ">temperature",
        ">accuracy gap",
        ">AUC",
        ">member excess",
        ">band",
        ">loss",
        ">s",
        "",
        title="Epochs",
    )


def print_first_page(metrics: Figures) -> None:
    rows = first_page_rows(metrics)
    title = "The five figures of the first page"
    print_rows(rows, "", "figure", ">before", ">after", "uncertainty", title=title)


def print_reference(metrics: Figures) -> None:
    """Whether unseen samples are a fair comparison for this person, seen from the inputs alone."""
    check, null = part(metrics, "reference"), part(metrics, "person_null")
    if check.get("auc") is None:
        return
    told = f"AUC {number(check['auc'])}, p {number(check['p_value'])}"
    if null:
        finding = (
            "These samples differ from other people's by their inputs. The intervals above allow "
            f"for differences between persons, estimated from {null['persons']} unseen ones."
        )
    else:
        finding = "No allowance for differences between persons is made."
    out = console()
    out.print(f"\n[bold]Reference check[/bold] (inputs only, no model): {told}")
    indented(finding)


def first_page_rows(metrics: Figures) -> list[list[str]]:
    """Number, figure, before, after, and what says how far the figure can be trusted.

    A figure that could not be computed is a dash; `reasons` of the report says why.
    """
    sizes, rf_jsd, band = part(metrics, "sizes"), part(metrics, "rf_jsd"), part(metrics, "band")
    leading = part(metrics, "scores", LEADING_SCORE)
    auc, accuracy = part(leading, "after"), part(metrics, "accuracy", "test")
    ends = auc.get("interval_90") or (None, None)
    return [
        [
            "1",
            "samples",
            f"{sizes['n_f']} forget",
            f"{sizes['n_u']} unseen",
            f"can prove a margin of {number(sizes['delta_plan'])}",
        ],
        [
            "2",
            "attack AUC",
            number(part(leading, "before").get("auc")),
            number(auc.get("auc")),
            f"90 % {interval(*ends)}, margin proved {number(auc.get('margin_proved'))}",
        ],
        [
            "3",
            "band advantage",
            number(part(band, "before").get("advantage")),
            number(part(band, "after").get("advantage")),
            f"95 % upper bound {number(part(band, 'after').get('upper_95'))}",
        ],
        [
            "4",
            "RF-JSD, nats",
            number(rf_jsd.get("before"), 4),
            number(rf_jsd.get("value"), 4),
            f"same-model p {number(part(rf_jsd, 'same_after').get('p_up'))}",
        ],
        [
            "5",
            "accuracy on unseen data",
            percent(part(accuracy, "before").get("value")),
            percent(part(accuracy, "after").get("value")),
            _paired_change(part(metrics, "utility")),
        ],
    ]


def part(figures: Figures, *names: str) -> Figures:
    """A part of the report, or an empty one where it could not be computed."""
    found: Any = figures
    for name in names:
        found = found.get(name) or {}
    return found if isinstance(found, Mapping) else {}


def _paired_change(utility: Figures) -> str:
    """The report states a fall; a reader expects the sign of a change."""
    if not utility:
        return "-"
    fall, low, high = (100 * utility[name] for name in ("fall", "low", "high"))
    return f"{-fall:+.1f} points, 95 % [{-high:+.1f}, {-low:+.1f}]"


def print_accuracies(metrics: Figures) -> None:
    rows = [
        [
            SETS.get(name, name),
            pair["before"]["n"],
            percent(pair["before"]["value"]),
            percent(pair["after"]["value"]),
            f"[{percent(pair['after']['low'])}, {percent(pair['after']['high'])}]",
        ]
        for name, pair in metrics["accuracy"].items()
        if pair is not None
    ]
    title = "Accuracies"
    print_rows(rows, "set", ">n", ">before", ">after", "95 % after", title=title)


def print_verdict(run: Run) -> None:
    verdict = run.verdict or {}
    out = console()
    names = [ATTACKS.get(name, name) for name in verdict.get("tells_apart") or []]
    out.print(f"\n[bold]Verdict: {plain(verdict.get('name'))}[/bold]")
    indented(verdict.get("sentence"))
    indented("Still tells the samples from unseen ones: " + (", ".join(names) or "nothing tried"))
    out.print("  Reasons:")
    for reason in verdict.get("reasons") or []:
        indented(reason, by=4)


def indented(text: object, by: int = 2) -> None:
    console().print(Padding(plain(text), (0, 0, 0, by)))
