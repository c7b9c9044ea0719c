"""After a rewind was found: a person says that the log as it is shall be signed."""

from datetime import datetime

from sqlalchemy.orm import Session

from app.audit import sequencer
from app.audit.checkpoints import log_state
from app.audit.checkpoints import newest as newest_checkpoint
from app.audit.kinds import RewindAccepted
from app.audit.log import append
from app.audit.memory import Memory
from app.audit.sealing import continues
from app.audit.tables import LogState


class NotAcceptable(RuntimeError):
    """The log contradicts itself, not just what was signed of it."""


def proposal(session: Session, *, actor: str) -> RewindAccepted | None:
    """What would be accepted, both heads by name; None if the log was not found rewound.

    NotAcceptable if stored checkpoints are not of this log: such a database is to be restored, not
    accepted.
    """
    state = log_state(session)
    if state is None or state.rewound_reason is None:
        return None
    last = newest_checkpoint(session)
    try:
        head = sequencer.head(session)
        sound = last is None or continues(session, head, last.tree_size, last.root_hash)
    except KeyError:  # the tree lacks nodes
        sound = False
    if not sound:
        raise NotAcceptable("the log contradicts its own checkpoints: restore a backup")
    return RewindAccepted(
        reason=state.rewound_reason,
        signed_size=state.signed_size,
        signed_root=state.signed_root.hex() if state.signed_root is not None else None,
        log_size=head.size,
        log_root=head.root.hex(),
        actor=actor,
    )


def accept_rewind(
    session: Session, memory: Memory, *, actor: str, now: datetime
) -> RewindAccepted | None:
    """Accepts what `proposal` says, and notes it in the log. Hold the memory: it is replaced
    before the commit, so that whatever fails leaves the log rewound."""
    session.get(LogState, 1, with_for_update=True)
    facts = proposal(session, actor=actor)
    state, last = log_state(session), newest_checkpoint(session)
    if facts is None or state is None:
        return None
    append(session, facts, now=now)
    state.rewound_at = state.rewound_reason = state.signed_size = state.signed_root = None
    session.flush()
    memory.replace(last.note if last is not None else None)
    return facts
