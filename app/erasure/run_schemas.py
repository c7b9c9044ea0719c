"""The wire form of runs, and of what each epoch measured."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field

from app.erasure.states import RunState, RunStep
from app.erasure.tables import ErrorClass
from app.ids import ItemId, ModelId, RequestId, RunId, VersionId


class PublishedVersion(BaseModel):
    id: VersionId
    number: int
    sha256: Annotated[str, Field(description="Of the weights' file.")]


class RunRequest(BaseModel):
    """Whose item is in the run. Requests that wait for the same model share one."""

    id: RequestId
    external_id: str | None
    item: ItemId


class RunEpoch(BaseModel):
    """What one pass over the data led to. Accuracies, AUC and band are shares from 0 to 1, measured
    after the epoch in eval mode; the validation set may have chosen the epoch."""

    number: Annotated[int, Field(description="1 for the first.")]
    steps: Annotated[int, Field(description="Optimizer steps of the run so far.")]
    planned_epochs: Annotated[int, Field(description="At most this many; it may end sooner.")]
    loss: Annotated[
        float | None,
        Field(
            description="What the method minimises, mean over the epoch's samples, in nats where "
            "it is a cross-entropy or a divergence. Empty where nothing is minimised."
        ),
    ]
    temperature: Annotated[
        float | None,
        Field(
            description="Of LoTUS, used during the epoch: above 1 while the model does better on "
            "the forget set than is the goal, 1 at the goal. No unit; empty for other methods."
        ),
    ] = None
    forget_accuracy: Annotated[float, Field(description="On the forget set.")]
    target_accuracy: Annotated[
        float,
        Field(
            description="The goal: the accuracy of the model before, on validation samples at the "
            "forget set's mix of classes; 0 for a class that is forgotten as a whole. The same in "
            "every epoch."
        ),
    ]
    accuracy_gap: Annotated[
        float, Field(description="`forget_accuracy` less `target_accuracy`, from -1 to 1.")
    ]
    validation_auc: Annotated[
        float | None,
        Field(
            description="Attack AUC, forget set against validation set, class by class; 0.5 tells "
            "nothing apart. Empty where the method does not read it."
        ),
    ] = None
    validation_band: Annotated[
        float | None,
        Field(
            description="Band advantage on the same sets, from -1 to 1; about 0 if nothing tells "
            "them apart. Empty as the AUC, and below four forget samples."
        ),
    ] = None
    validation_member_excess: Annotated[
        float | None,
        Field(
            description="Share of the forget set that the paper's attack calls trained on, less "
            "that of the validation set, from -1 to 1. Empty as the AUC."
        ),
    ] = None
    best: Annotated[
        bool,
        Field(description="Best so far: of the last such epoch the weights are kept."),
    ] = True
    seconds: Annotated[float, Field(description="Wall time, with the measuring.")]
    uncalibrated_samples: Annotated[
        int,
        Field(description="Forget samples whose class no validation sample has: no goal is known."),
    ] = 0


class _RunView(BaseModel):
    id: RunId
    model: ModelId
    base_version: Annotated[VersionId, Field(description="The version that it started from.")]
    rung: Annotated[int, Field(description="How many rejected runs came before.")]
    step: Annotated[RunStep, Field(description="Why the run is made as it is.")]
    attempt: Annotated[int, Field(description="Counts the starts: 2 after a crash or a stop.")]
    state: RunState
    method: Annotated[str, Field(description="`lotus`, or another method of unlearning.")]
    mode: Annotated[
        str, Field(description="Of LoTUS `guided`, `paper` or `released`, else `fixed`.")
    ]
    progress: Annotated[
        dict[str, Any] | None,
        Field(
            description="`phase`: `loading`, `unlearning`, `verifying` or `publishing`; while it "
            "unlearns also `epoch` and `planned_epochs`."
        ),
    ]
    error_class: Annotated[ErrorClass | None, Field(description="Why the last attempt failed.")]
    created_at: datetime
    started_at: Annotated[datetime | None, Field(description="Of the last attempt.")]
    finished_at: datetime | None


class RunSummary(_RunView):
    verdict: Annotated[str | None, Field(description="Its name, once the run is verified.")]


class RunDetail(_RunView):
    base_number: Annotated[int, Field(description="Number of the version that it started from.")]
    base_sha256: Annotated[str, Field(description="Of that version's weights.")]
    settings: Annotated[dict[str, Any], Field(description="What policy or decision asked for.")]
    config: Annotated[
        dict[str, Any] | None,
        Field(description="Every setting as the run used it; empty until it has started."),
    ]
    seed: Annotated[int, Field(description="Of all chance in the run and in its tests.")]
    device: Annotated[str | None, Field(description="What it was computed on.")]
    epochs: Annotated[list[RunEpoch], Field(description="Of the last attempt, so far.")]
    metrics: Annotated[
        dict[str, Any] | None,
        Field(
            description="The report: every figure before and after, once the run is verified. What "
            "can be drawn beside it is at `/runs/{id}/plots`."
        ),
    ]
    verdict: Annotated[
        dict[str, Any] | None,
        Field(description="What follows from the report, with its reasons and the margins used."),
    ]
    published_version: Annotated[
        PublishedVersion | None, Field(description="The version that it made, if it succeeded.")
    ]
    error_detail: Annotated[str | None, Field(description="What failed, in a few words.")]
    items: Annotated[list[ItemId], Field(description="The requests' items it was formed with.")]
    requests: Annotated[list[RunRequest], Field(description="Whose items those are.")]
