"""Every table of the service."""

import sqlalchemy as sa
from alembic import op

from migrations.types import BigId, Json, Time, one_of

revision: str = "0001"
down_revision: str | None = None


def upgrade() -> None:  # noqa: PLR0915 - a list, not a procedure
    op.create_table(
        "artifacts",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("media_type", sa.String(length=100), nullable=False),
        sa.Column(
            "state", one_of("artifactstate", "staged", "stored", "destroyed"), nullable=False
        ),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("destroyed_at", Time),
        sa.Column("destroyed_reason", sa.String(length=40)),
        sa.PrimaryKeyConstraint("sha256", name="pk_artifacts"),
    )
    op.create_table(
        "audit_checkpoints",
        sa.Column("tree_size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("root_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("tree_size", name="pk_audit_checkpoints"),
    )
    op.create_table(
        "audit_entries",
        sa.Column("index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sequenced_at", Time, nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("controller_id", sa.Uuid()),
        sa.Column("request_id", sa.Uuid()),
        sa.Column("run_id", sa.Uuid()),
        sa.Column("created_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("index", name="pk_audit_entries"),
    )
    op.create_index("ix_audit_entries_controller", "audit_entries", ["controller_id", "index"])
    op.create_index("ix_audit_entries_request_id", "audit_entries", ["request_id"])

    op.create_table(
        "audit_nodes",
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("level", "index", name="pk_audit_nodes"),
    )
    op.create_table(
        "audit_pending",
        sa.Column("id", BigId, nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("controller_id", sa.Uuid()),
        sa.Column("request_id", sa.Uuid()),
        sa.Column("run_id", sa.Uuid()),
        sa.Column("created_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_pending"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_pending_request_id", "audit_pending", ["request_id"])

    op.create_table(
        "controllers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_controllers"),
        sa.UniqueConstraint("name", name="uq_controllers_name"),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("device", sa.String(length=100)),
        sa.Column("heartbeat_at", Time, nullable=False),
        sa.Column("started_at", Time, nullable=False),
        sa.Column("current_run_id", sa.Uuid()),
        sa.PrimaryKeyConstraint("id", name="pk_workers"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("prefix", sa.String(length=16), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("scopes", Json, nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("expires_at", Time),
        sa.Column("revoked_at", Time),
        sa.Column("last_used_at", Time),
        sa.ForeignKeyConstraint(
            ["controller_id"], ["controllers.id"], name="fk_api_keys_controller_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("digest", name="uq_api_keys_digest"),
    )
    op.create_index("ix_api_keys_controller_id", "api_keys", ["controller_id"])

    op.create_table(
        "datasets",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column(
            "task", one_of("task", "image_classification", "tabular_classification"), nullable=False
        ),
        sa.Column("class_names", Json, nullable=False),
        sa.Column("subject_columns", Json, nullable=False),
        sa.Column("upload_sha256", sa.String(length=64), nullable=False),
        sa.Column(
            "state", one_of("registrationstate", "checking", "ready", "invalid"), nullable=False
        ),
        sa.Column("problem", Json),
        sa.Column("input_shape", Json),
        sa.Column("pseudonym_key_id", sa.String(length=40)),
        sa.Column("split_counts", Json),
        sa.Column("suppressed_rows", sa.Integer()),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("ready_at", Time),
        sa.Column("check_attempts", sa.Integer(), nullable=False),
        sa.Column("check_lease_until", Time),
        sa.ForeignKeyConstraint(
            ["controller_id"], ["controllers.id"], name="fk_datasets_controller_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_datasets"),
        sa.UniqueConstraint("controller_id", "name", name="uq_datasets_controller_id_name"),
    )
    op.create_index("ix_datasets_controller_id", "datasets", ["controller_id"])
    op.create_index("ix_datasets_state", "datasets", ["state"])

    op.create_table(
        "idempotency_keys",
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.LargeBinary(length=32), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(length=32), nullable=False),
        sa.Column("resource_id", sa.Uuid()),
        sa.Column("created_at", Time, nullable=False),
        sa.ForeignKeyConstraint(
            ["controller_id"], ["controllers.id"], name="fk_idempotency_keys_controller_id"
        ),
        sa.PrimaryKeyConstraint("controller_id", "key", name="pk_idempotency_keys"),
    )
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("events", Json, nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("disabled_at", Time),
        sa.ForeignKeyConstraint(
            ["controller_id"], ["controllers.id"], name="fk_webhook_endpoints_controller_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_endpoints"),
    )
    op.create_index("ix_webhook_endpoints_controller_id", "webhook_endpoints", ["controller_id"])

    op.create_table(
        "dataset_shards",
        sa.Column("id", BigId, nullable=False),
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("artifact_sha256", sa.String(length=64), nullable=False),
        sa.Column("first_row", sa.Integer(), nullable=False),
        sa.Column("row_count", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["artifact_sha256"],
            ["artifacts.sha256"],
            name="fk_dataset_shards_artifact_sha256",
        ),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["datasets.id"], name="fk_dataset_shards_dataset_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_dataset_shards"),
        sa.UniqueConstraint("dataset_id", "number", name="uq_dataset_shards_dataset_id_number"),
    )
    op.create_index("ix_dataset_shards_artifact_sha256", "dataset_shards", ["artifact_sha256"])

    op.create_table(
        "erasure_requests",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.String(length=200)),
        sa.Column("regulation", one_of("regulation", "gdpr", "ccpa"), nullable=False),
        sa.Column(
            "legal_ground",
            one_of(
                "legalground",
                "no_longer_necessary",
                "consent_withdrawn",
                "objection",
                "unlawful_processing",
                "legal_obligation",
                "child_services",
            ),
            nullable=True,
        ),
        sa.Column(
            "state",
            one_of(
                "requeststate",
                "received",
                "awaiting_approval",
                "scheduled",
                "running",
                "on_hold",
                "needs_decision",
                "failed",
                "completed",
                "cancelled",
                "refused",
            ),
            nullable=False,
        ),
        sa.Column(
            "outcome",
            one_of(
                "outcome", "unlearned", "unlearned_not_testable", "unlearned_accepted", "no_match"
            ),
            nullable=True,
        ),
        sa.Column(
            "reason_code",
            one_of(
                "reasoncode",
                "no_samples",
                "held_out_only",
                "previously_unlearned",
                "freedom_of_expression",
                "legal_obligation",
                "public_health",
                "archiving_or_research",
                "legal_claims",
                "identity_not_verified",
                "manifestly_unfounded",
            ),
            nullable=True,
        ),
        sa.Column("earlier_request_id", sa.Uuid()),
        sa.Column("submitted_at", Time, nullable=False),
        sa.Column("received_at", Time, nullable=False),
        sa.Column("due_at", Time, nullable=False),
        sa.Column("extended_due_at", Time),
        sa.Column("extension_reason", sa.String(length=200)),
        sa.Column("notified_at", Time),
        sa.Column("paused", Json, nullable=False),
        sa.Column("completed_at", Time),
        sa.Column("closed_at", Time),
        sa.Column("body_digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("model_scope", Json),
        sa.Column("submitted_by", sa.Uuid()),
        sa.Column("row_version", sa.Integer(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("updated_at", Time, nullable=False),
        sa.CheckConstraint(
            "(state = 'completed') = (outcome IS NOT NULL)",
            name="outcome_if_completed",
        ),
        sa.ForeignKeyConstraint(
            ["controller_id"], ["controllers.id"], name="fk_erasure_requests_controller_id"
        ),
        sa.ForeignKeyConstraint(
            ["earlier_request_id"],
            ["erasure_requests.id"],
            name="fk_erasure_requests_earlier_request_id",
        ),
        sa.ForeignKeyConstraint(
            ["submitted_by"], ["api_keys.id"], name="fk_erasure_requests_submitted_by"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_erasure_requests"),
        sa.UniqueConstraint(
            "controller_id",
            "external_id",
            name="uq_erasure_requests_controller_id_external_id",
        ),
    )
    op.create_index(
        "ix_erasure_requests_due", "erasure_requests", ["controller_id", "state", "due_at"]
    )
    op.create_index("ix_erasure_requests_page", "erasure_requests", ["controller_id", "id"])
    op.create_index(
        "ix_erasure_requests_state_page", "erasure_requests", ["controller_id", "state", "id"]
    )
    op.create_index("ix_erasure_requests_updated_at", "erasure_requests", ["updated_at"])

    op.create_table(
        "models",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column(
            "task", one_of("task", "image_classification", "tabular_classification"), nullable=False
        ),
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("architecture", sa.String(length=100), nullable=False),
        sa.Column("architecture_config", Json, nullable=False),
        sa.Column("normalization", Json),
        sa.Column("policy", Json, nullable=False),
        sa.Column("training_recipe", Json),
        sa.Column(
            "state", one_of("registrationstate", "checking", "ready", "invalid"), nullable=False
        ),
        sa.Column("problem", Json),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("ready_at", Time),
        sa.ForeignKeyConstraint(
            ["controller_id"], ["controllers.id"], name="fk_models_controller_id"
        ),
        sa.ForeignKeyConstraint(["dataset_id"], ["datasets.id"], name="fk_models_dataset_id"),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.UniqueConstraint("controller_id", "name", name="uq_models_controller_id_name"),
    )
    op.create_index("ix_models_controller_id", "models", ["controller_id"])
    op.create_index("ix_models_dataset_id", "models", ["dataset_id"])
    op.create_index("ix_models_state", "models", ["state"])

    op.create_table(
        "certificates",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("state", one_of("certificatestate", "unsigned", "issued"), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("payload_sha256", sa.String(length=64), nullable=False),
        sa.Column("envelope", sa.LargeBinary()),
        sa.Column("log_index", sa.BigInteger()),
        sa.Column("replaces_id", sa.Uuid()),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("issued_at", Time),
        sa.ForeignKeyConstraint(
            ["replaces_id"], ["certificates.id"], name="fk_certificates_replaces_id"
        ),
        sa.ForeignKeyConstraint(
            ["request_id"], ["erasure_requests.id"], name="fk_certificates_request_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_certificates"),
        sa.UniqueConstraint("replaces_id", name="uq_certificates_replaces_id"),
    )
    op.create_index("ix_certificates_request_id", "certificates", ["request_id"])
    op.create_index("ix_certificates_state", "certificates", ["state"])

    op.create_table(
        "model_versions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("parent_id", sa.Uuid()),
        sa.Column("lineage_id", sa.Uuid(), nullable=False),
        sa.Column("artifact_sha256", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.Uuid()),
        sa.Column(
            "state",
            one_of(
                "versionstate",
                "checking",
                "invalid",
                "candidate",
                "active",
                "superseded",
                "rejected",
                "destroyed",
            ),
            nullable=False,
        ),
        sa.Column("problem", Json),
        sa.Column("metrics", Json),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("published_at", Time),
        sa.Column("check_attempts", sa.Integer(), nullable=False),
        sa.Column("check_lease_until", Time),
        sa.CheckConstraint("number >= 1", name="number_from_one"),
        sa.ForeignKeyConstraint(
            ["artifact_sha256"],
            ["artifacts.sha256"],
            name="fk_model_versions_artifact_sha256",
        ),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_model_versions_model_id"),
        sa.ForeignKeyConstraint(
            ["parent_id"], ["model_versions.id"], name="fk_model_versions_parent_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_model_versions"),
        sa.UniqueConstraint("model_id", "number", name="uq_model_versions_model_id_number"),
    )
    op.create_index("ix_model_versions_artifact_sha256", "model_versions", ["artifact_sha256"])
    op.create_index("ix_model_versions_state", "model_versions", ["state"])
    op.create_index(
        "uq_model_versions_one_active",
        "model_versions",
        ["model_id"],
        unique=True,
        sqlite_where=sa.text("state = 'active'"),
        postgresql_where=sa.text("state = 'active'"),
    )
    op.create_index(
        "uq_model_versions_one_per_run",
        "model_versions",
        ["run_id"],
        unique=True,
        sqlite_where=sa.text("run_id IS NOT NULL"),
        postgresql_where=sa.text("run_id IS NOT NULL"),
    )

    op.create_table(
        "request_subjects",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("key_id", sa.String(length=40), nullable=False),
        sa.Column("identity_type", sa.String(length=64), nullable=False),
        sa.Column("subject_ref", sa.LargeBinary(length=32), nullable=False),
        sa.Column("suppression_tag", sa.LargeBinary(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"], ["erasure_requests.id"], name="fk_request_subjects_request_id"
        ),
        sa.PrimaryKeyConstraint("request_id", "position", "key_id", name="pk_request_subjects"),
    )
    op.create_index("ix_request_subjects_subject_ref", "request_subjects", ["subject_ref"])
    op.create_index("ix_request_subjects_suppression_tag", "request_subjects", ["suppression_tag"])

    op.create_table(
        "samples",
        sa.Column("id", BigId, nullable=False),
        sa.Column("dataset_id", sa.Uuid(), nullable=False),
        sa.Column("shard_id", BigId, nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("sample_ref", sa.LargeBinary(length=32), nullable=False),
        sa.Column("split", one_of("samplesplit", "train", "validation", "test"), nullable=False),
        sa.Column("label", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["dataset_id"], ["datasets.id"], name="fk_samples_dataset_id"),
        sa.ForeignKeyConstraint(["shard_id"], ["dataset_shards.id"], name="fk_samples_shard_id"),
        sa.PrimaryKeyConstraint("id", name="pk_samples"),
        sa.UniqueConstraint("dataset_id", "row", name="uq_samples_dataset_id_row"),
        sa.UniqueConstraint("dataset_id", "sample_ref", name="uq_samples_dataset_id_sample_ref"),
    )
    op.create_index("ix_samples_shard_id", "samples", ["shard_id"])

    op.create_table(
        "suppression_entries",
        sa.Column("id", BigId, nullable=False),
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("tag", sa.LargeBinary(length=32), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("until", Time, nullable=False),
        sa.ForeignKeyConstraint(
            ["controller_id"], ["controllers.id"], name="fk_suppression_entries_controller_id"
        ),
        sa.ForeignKeyConstraint(
            ["request_id"], ["erasure_requests.id"], name="fk_suppression_entries_request_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_suppression_entries"),
    )
    op.create_index("ix_suppression_entries_tag", "suppression_entries", ["tag"])

    op.create_table(
        "webhook_deliveries",
        sa.Column("id", BigId, nullable=False),
        sa.Column("controller_id", sa.Uuid(), nullable=False),
        sa.Column("endpoint_id", sa.Uuid()),
        sa.Column("request_id", sa.Uuid()),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("event", sa.String(length=64), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("state", one_of("deliverystate", "waiting", "delivered", "dead"), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", Time, nullable=False),
        sa.Column("last_status", sa.Integer()),
        sa.Column("last_error", sa.String(length=100)),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("delivered_at", Time),
        sa.ForeignKeyConstraint(
            ["controller_id"], ["controllers.id"], name="fk_webhook_deliveries_controller_id"
        ),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            ["webhook_endpoints.id"],
            name="fk_webhook_deliveries_endpoint_id",
        ),
        sa.ForeignKeyConstraint(
            ["request_id"], ["erasure_requests.id"], name="fk_webhook_deliveries_request_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_deliveries"),
    )
    op.create_index("ix_webhook_deliveries_due", "webhook_deliveries", ["state", "next_attempt_at"])
    op.create_index("ix_webhook_deliveries_request_id", "webhook_deliveries", ["request_id"])

    op.create_table(
        "runs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("base_version_id", sa.Uuid(), nullable=False),
        sa.Column("follows_id", sa.Uuid()),
        sa.Column("rung", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("not_before", Time),
        sa.Column(
            "state",
            one_of(
                "runstate",
                "queued",
                "running",
                "verifying",
                "publishing",
                "succeeded",
                "rejected",
                "superseded",
                "failed",
            ),
            nullable=False,
        ),
        sa.Column("lease_until", Time),
        sa.Column("worker_id", sa.Uuid()),
        sa.Column("method", sa.String(length=40), nullable=False),
        sa.Column("mode", sa.String(length=40), nullable=False),
        sa.Column("settings", Json, nullable=False),
        sa.Column("config", Json),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("device", sa.String(length=100)),
        sa.Column("code_version", sa.String(length=64)),
        sa.Column("progress", Json),
        sa.Column("epochs", Json),
        sa.Column("metrics", Json),
        sa.Column("verdict", sa.String(length=40)),
        sa.Column("verdict_detail", Json),
        sa.Column("candidate_version_id", sa.Uuid()),
        sa.Column(
            "error_class",
            one_of(
                "errorclass",
                "crashed",
                "out_of_memory",
                "storage",
                "missing_data",
                "architecture",
                "numerical",
                "settings",
                "internal",
            ),
            nullable=True,
        ),
        sa.Column("error_detail", sa.String(length=500)),
        sa.Column("due_at", Time, nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("started_at", Time),
        sa.Column("finished_at", Time),
        sa.CheckConstraint(
            "(state IN ('running', 'verifying', 'publishing')) = (lease_until IS NOT NULL)",
            name="lease_if_held",
        ),
        sa.ForeignKeyConstraint(
            ["base_version_id"], ["model_versions.id"], name="fk_runs_base_version_id"
        ),
        sa.ForeignKeyConstraint(
            ["candidate_version_id"],
            ["model_versions.id"],
            name="fk_runs_candidate_version_id",
        ),
        sa.ForeignKeyConstraint(["follows_id"], ["runs.id"], name="fk_runs_follows_id"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_runs_model_id"),
        sa.ForeignKeyConstraint(["worker_id"], ["workers.id"], name="fk_runs_worker_id"),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
    )
    op.create_index("ix_runs_state", "runs", ["state"])
    op.create_index(
        "uq_runs_one_live_per_model",
        "runs",
        ["model_id"],
        unique=True,
        sqlite_where=sa.text("state IN ('queued', 'running', 'verifying', 'publishing')"),
        postgresql_where=sa.text("state IN ('queued', 'running', 'verifying', 'publishing')"),
    )

    op.create_table(
        "sample_subjects",
        sa.Column("sample_id", BigId, nullable=False),
        sa.Column("subject_ref", sa.LargeBinary(length=32), nullable=False),
        sa.Column("identity_type", sa.String(length=64), nullable=False),
        sa.Column("key_id", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["sample_id"], ["samples.id"], name="fk_sample_subjects_sample_id"),
        sa.PrimaryKeyConstraint("sample_id", "subject_ref", name="pk_sample_subjects"),
    )
    op.create_index("ix_sample_subjects_subject_ref", "sample_subjects", ["subject_ref"])

    op.create_table(
        "erasure_items",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column(
            "state",
            one_of(
                "itemstate",
                "scheduled",
                "running",
                "needs_decision",
                "failed",
                "published",
                "cancelled",
                "refused",
            ),
            nullable=False,
        ),
        sa.Column("run_id", sa.Uuid()),
        sa.Column("forget_count", sa.Integer(), nullable=False),
        sa.Column("held_out_count", sa.Integer(), nullable=False),
        sa.Column("numbers", Json),
        sa.Column(
            "error_class",
            one_of(
                "errorclass",
                "crashed",
                "out_of_memory",
                "storage",
                "missing_data",
                "architecture",
                "numerical",
                "settings",
                "internal",
            ),
            nullable=True,
        ),
        sa.Column(
            "reason_code",
            one_of(
                "reasoncode",
                "no_samples",
                "held_out_only",
                "previously_unlearned",
                "freedom_of_expression",
                "legal_obligation",
                "public_health",
                "archiving_or_research",
                "legal_claims",
                "identity_not_verified",
                "manifestly_unfounded",
            ),
            nullable=True,
        ),
        sa.Column("accepted_at", Time, nullable=False),
        sa.Column("published_at", Time),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_erasure_items_model_id"),
        sa.ForeignKeyConstraint(
            ["request_id"], ["erasure_requests.id"], name="fk_erasure_items_request_id"
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_erasure_items_run_id"),
        sa.PrimaryKeyConstraint("id", name="pk_erasure_items"),
        sa.UniqueConstraint("request_id", "model_id", name="uq_erasure_items_request_id_model_id"),
    )
    op.create_index("ix_erasure_items_run_id", "erasure_items", ["run_id"])
    op.create_index("ix_erasure_items_waiting", "erasure_items", ["model_id", "state"])

    op.create_table(
        "unlearned_samples",
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("sample_id", BigId, nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_unlearned_samples_model_id"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_unlearned_samples_run_id"),
        sa.ForeignKeyConstraint(
            ["sample_id"], ["samples.id"], name="fk_unlearned_samples_sample_id"
        ),
        sa.PrimaryKeyConstraint("model_id", "sample_id", "run_id", name="pk_unlearned_samples"),
    )
    op.create_index("ix_unlearned_samples_sample_id", "unlearned_samples", ["sample_id"])

    op.create_table(
        "item_samples",
        sa.Column("item_id", sa.Uuid(), nullable=False),
        sa.Column("sample_id", BigId, nullable=False),
        sa.ForeignKeyConstraint(["item_id"], ["erasure_items.id"], name="fk_item_samples_item_id"),
        sa.ForeignKeyConstraint(["sample_id"], ["samples.id"], name="fk_item_samples_sample_id"),
        sa.PrimaryKeyConstraint("item_id", "sample_id", name="pk_item_samples"),
    )
    op.create_index("ix_item_samples_sample_id", "item_samples", ["sample_id"])

    op.create_table(
        "run_items",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("item_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["item_id"], ["erasure_items.id"], name="fk_run_items_item_id"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_run_items_run_id"),
        sa.PrimaryKeyConstraint("run_id", "item_id", name="pk_run_items"),
    )
    op.create_index("ix_run_items_item_id", "run_items", ["item_id"])


def downgrade() -> None:
    for table in (
        "run_items",
        "item_samples",
        "unlearned_samples",
        "erasure_items",
        "sample_subjects",
        "runs",
        "webhook_deliveries",
        "suppression_entries",
        "samples",
        "request_subjects",
        "model_versions",
        "certificates",
        "models",
        "erasure_requests",
        "dataset_shards",
        "webhook_endpoints",
        "idempotency_keys",
        "datasets",
        "api_keys",
        "workers",
        "controllers",
        "audit_pending",
        "audit_nodes",
        "audit_entries",
        "audit_checkpoints",
        "artifacts",
    ):
        op.drop_table(table)
