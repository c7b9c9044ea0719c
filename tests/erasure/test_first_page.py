from app.erasure.first_page import first_page

REPORT = {
    "sizes": {"n_f": 100, "n_u": 650, "delta_plan": 0.092},
    "scores": {
        "phi": {
            "before": {"auc": 0.7},
            "after": {"auc": 0.55, "interval_90": [0.5, 0.6], "margin_proved": 0.1},
        },
        "margin": {"before": {"auc": 0.1}, "after": {"auc": 0.2, "interval_90": [0.3, 0.4]}},
    },
    "band": {"before": {"advantage": 0.3}, "after": {"advantage": 0.12, "upper_95": 0.2}},
    "rf_jsd": {"before": 0.0103, "value": 0.0049, "same_after": {"p_up": 0.7}, "drift": 9.0},
    "accuracy": {
        "test": {"before": {"value": 0.98}, "after": {"value": 0.97}},
        "forget": {"before": {"value": 0.1}, "after": {"value": 0.2}},
    },
    "utility": {"fall": 0.01, "low": -0.002, "high": 0.022},
}


def test_the_five_figures_come_from_their_places_in_the_report() -> None:
    page = first_page(REPORT)
    assert (page.n_f, page.n_u, page.provable_margin) == (100, 650, 0.092)
    assert (page.auc_before, page.auc_after) == (0.7, 0.55)
    assert (page.auc_low, page.auc_high, page.margin_proved) == (0.5, 0.6, 0.1)
    assert (page.band_before, page.band_after, page.band_upper) == (0.3, 0.12, 0.2)
    assert (page.rf_jsd_before, page.rf_jsd_after, page.same_model_p) == (0.0103, 0.0049, 0.7)
    assert (page.accuracy_before, page.accuracy_after) == (0.98, 0.97)


def test_a_fall_of_accuracy_is_a_negative_change_and_its_ends_swap() -> None:
    page = first_page(REPORT)
    assert (page.accuracy_change, page.accuracy_change_low, page.accuracy_change_high) == (
        -0.01,
        -0.022,
        0.002,
    )


def test_what_could_not_be_computed_stays_empty() -> None:
    page = first_page(
        {"sizes": {"n_f": 1, "n_u": 0, "delta_plan": None}, "scores": None, "accuracy": {}}
    )
    given = page.model_dump(exclude_none=True)
    assert given == {"n_f": 1, "n_u": 0}
