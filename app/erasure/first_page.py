"""The five figures that a reader of a verification report should look at first. Pure."""

from collections.abc import Mapping
from typing import Any

from app.certificates.model_erasure import FirstPage

# The score whose AUC leads the page: it orders samples as the loss does.
LEADING_SCORE = "phi"


def first_page(report: Mapping[str, Any]) -> FirstPage:
    """From `Report.to_dict()`; a figure that could not be computed stays None."""
    sizes = report["sizes"]
    auc = _part(report, "scores", LEADING_SCORE)
    band, rf_jsd = _part(report, "band"), _part(report, "rf_jsd")
    accuracy, utility = _part(report, "accuracy", "test"), _part(report, "utility")
    low, high = _part(auc, "after").get("interval_90") or (None, None)
    return FirstPage(
        n_f=sizes["n_f"],
        n_u=sizes["n_u"],
        provable_margin=sizes["delta_plan"],
        auc_before=_part(auc, "before").get("auc"),
        auc_after=_part(auc, "after").get("auc"),
        auc_low=low,
        auc_high=high,
        margin_proved=_part(auc, "after").get("margin_proved"),
        band_before=_part(band, "before").get("advantage"),
        band_after=_part(band, "after").get("advantage"),
        band_upper=_part(band, "after").get("upper_95"),
        rf_jsd_before=rf_jsd.get("before"),
        rf_jsd_after=rf_jsd.get("value"),
        same_model_p=_part(rf_jsd, "same_after").get("p_up"),
        accuracy_before=_part(accuracy, "before").get("value"),
        accuracy_after=_part(accuracy, "after").get("value"),
        accuracy_change=_negative(utility.get("fall")),
        accuracy_change_low=_negative(utility.get("high")),
        accuracy_change_high=_negative(utility.get("low")),
    )


def _part(report: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """A part of the report, or an empty one where the report says that it could not be computed."""
    part: Any = report
    for name in names:
        part = part.get(name) or {}
    return part if isinstance(part, Mapping) else {}


def _negative(fall: float | None) -> float | None:
    return None if fall is None else -fall
