"""``schedule.trace``: the schedule in the Paje format that Vite and other viewers read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from batfs._core.sheets import Sheet

# the events used, with Batsim's numbers
_EVENTS: Final = (
    ("PajeDefineContainerType", 1, ("Name string", "Type string", "Alias string")),
    ("PajeDefineStateType", 2, ("Name string", "Type string", "Alias string")),
    ("PajeDefineEventType", 3, ("Name string", "Type string", "Alias string", "Color color")),
    ("PajeDefineEntityValue", 4, ("Alias string", "Type string", "Name string", "Color color")),
    (
        "PajeCreateContainer",
        5,
        ("Time date", "Name string", "Type string", "Container string", "Alias string"),
    ),
    ("PajeDestroyContainer", 6, ("Time date", "Name string", "Type string")),
    ("PajeSetState", 7, ("Time date", "Type string", "Container string", "Value string")),
    ("PajeNewEvent", 8, ("Time date", "Type string", "Container string", "Value string")),
    ("PajeDefineVariableType", 9, ("Name string", "Type string", "Alias string", "Color color")),
    ("PajeSetVariable", 10, ("Time date", "Type string", "Container string", "Value double")),
)
# colours of jobs, taken in turn
_COLOURS: Final = (
    *("0.894 0.102 0.110", "0.216 0.494 0.722", "0.302 0.686 0.290", "0.596 0.306 0.639"),
    *("1.000 0.498 0.000", "0.651 0.337 0.157", "0.969 0.506 0.749", "0.400 0.761 0.647"),
)
_IDLE: Final = "w"
_SPECIAL: Final = re.compile(r'[\s"]')


class PajeTrace:
    """Writes one container per machine and one state per job."""

    def __init__(self, sheet: Sheet, machines: Sequence[str]) -> None:
        self._write = sheet.add
        self._trace = sheet.trace
        self._started = sheet.started
        self._machines = len(machines)
        self._jobs = 0
        self._last = 0.0
        lines = []
        for name, number, fields in _EVENTS:
            lines += [f"%EventDef {name} {number}", *(f"% {field}" for field in fields), "%EndEventDef"]
        lines += [
            '1 "Root" 0 root_ct',
            '1 "Machine" root_ct machine',
            '2 "Machine state" machine machine_state',
            '3 "Kill event" machine kill "1.0 0.0 0.0"',
            f'4 {_IDLE} machine_state "Waiting" "0.0 0.0 0.0"',
            '4 k kill "Kill" "1.0 0.0 0.0"',
            '5 0.000000 "Machines" root_ct 0 root',
        ]
        for i, machine in enumerate(machines):
            lines.append(f'5 0.000000 "{machine}" machine root m{i}')
            lines.append(f"7 0.000000 machine_state m{i} {_IDLE}")
        self._write("\n".join(lines) + "\n")

    def job_started(self, job_id: str, alloc: tuple[int, ...], now: float) -> None:
        colour = _COLOURS[self._jobs % len(_COLOURS)]
        self._jobs += 1
        alias = f"j{job_id}"
        if _SPECIAL.search(job_id):  # Paje has no way to write them
            alias, job_id = f"job{self._jobs}", _SPECIAL.sub("_", job_id)
        self._last = now
        self._started(now, alloc, alias, job_id, colour)

    def machines_idle(self, ids: tuple[int, ...], now: float) -> None:
        """These (ascending) have nothing more to do."""
        self._last = now
        self._trace(now, ids, _IDLE)

    def job_killed(self, alloc: Sequence[int], now: float) -> None:
        """A walltime was reached, or a task was cancelled."""
        self._write("".join([f"8 {now:.6f} kill m{i} k\n" for i in alloc]))

    def finish(self) -> None:
        """Close the containers."""
        for i in range(self._machines):
            self._write(f"6 {self._last:.6f} m{i} machine\n")
        self._write(f"6 {self._last:.6f} root 0\n")
