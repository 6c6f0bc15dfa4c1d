"""Which jobs ran: the words schedulers have for how a job stands."""

from __future__ import annotations

from enum import Enum
from typing import Any, Final


class State(Enum):
    """What a state says of a job: it ended, it was still running, it never ran, or the times must tell."""

    ENDED = "ended"
    RUNNING = "running"
    NEVER = "never"
    MAYBE = "maybe"  # cancelled: before it started, or while it ran
    REQUEUED = "requeued"  # this run ended, another follows
    UNKNOWN = "unknown"


def _words(state: State, text: str) -> dict[str, State]:
    return dict.fromkeys(text.split(), state)


_STATES: Final[dict[str, State]] = {
    # Slurm's words and their short forms; LSF's, PBS's, Cobalt's and the published tables' own
    **_words(
        State.ENDED,
        "completed complete cd failed f timeout to node_fail nf out_of_memory oom done exit exited success"
        " succeeded successful terminated finished killed error pass ok completed_ok",
    ),
    **_words(
        State.RUNNING,
        "running r run suspended s completing cg stopped st resizing signaling stage_out so ssusp ususp",
    ),
    **_words(
        State.NEVER,
        "pending pd pend configuring cf boot_fail bf revoked rv requeue_hold rh resv_del_hold rd"
        " special_exit se queued q waiting wait held hold psusp rejected requeue_fed notrun",
    ),
    **_words(State.MAYBE, "cancelled canceled ca deadline dl aborted removed deleted"),
    **_words(State.REQUEUED, "requeued rq preempted pr"),
}
# Slurm's numbers: the low byte of job_table.state in its data base
_NUMBERS: Final = [
    "pending",
    "running",
    "suspended",
    "completed",
    "cancelled",
    "failed",
    "timeout",
    "node_fail",
    "preempted",
    "boot_fail",
    "deadline",
    "oom",
]


def state_of(cell: Any) -> tuple[State, str]:
    """The state and its word, in small letters; a list (as in ``--json``) is taken by its first word."""
    if isinstance(cell, (list, tuple)):
        words = [str(word).lower() for word in cell]
        if "requeued" in words:
            return State.REQUEUED, "requeued"
        cell = words[0] if words else ""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    word = str(cell).strip().lower().rstrip("+")
    if word.isdigit():
        number = int(word) & 0xFF
        word = _NUMBERS[number] if number < len(_NUMBERS) else word
    word = word.split()[0] if word else ""  # "CANCELLED by 1234"
    if word.startswith("cancelled") or word == "cancelle":
        word = "cancelled"
    state = _STATES.get(word)
    if state is None:  # cut by a narrow column ("COMPLETE+"): the one word that begins so
        found = {value for key, value in _STATES.items() if len(word) > 3 and key.startswith(word)}
        state = found.pop() if len(found) == 1 else State.UNKNOWN
    return state, word
