"""How much a model's owner asks of verification: margins and levels. Pure."""

from pydantic import BaseModel, ConfigDict, Field


class VerificationPolicy(BaseModel):
    """Margins and levels of a model's owner. The defaults stand in every certificate."""

    # Strict: `true` is no margin, and neither is "0.45".
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)

    delta_auc: float = Field(0.10, gt=0, le=0.45, description="margin of every AUC around .5")
    delta_band: float = Field(0.15, gt=0, le=1, description="margin of the band advantage")
    alpha: float = Field(0.01, gt=0, le=0.2, description="level of the corrected tests")
    band_alpha: float = Field(0.05, gt=0, le=0.5, description="level of the band's upper bound")
    min_band_n: int = Field(20, ge=4, le=100_000, description="smallest n_f for the band's bound")
    max_excluded_share: float = Field(0.10, ge=0, le=1)
    reference_auc: float = Field(0.60, ge=0.5, le=1)
    reference_p: float = Field(0.01, gt=0, le=0.2)
    max_accuracy_fall: float = Field(0.02, ge=0, le=1)
