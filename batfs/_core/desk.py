# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The server's desk: jobs in memory, the machines' states, and what happens to every job. Compiled by Cython.

A job is submitted, executed, done and forgotten; between these the server speaks with the scheduler. That is
here, for jobs that are one parallel task above all. What few jobs need (other profiles, kills, dynamic jobs,
machines that are shared), and what is wrong, is said by the subclasses in ``batfs.simulator``, in Python.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

from batfs._core.arrays import doubles, integers
from batfs._core.loop import CANCELLED, ENDS, TIMED_OUT, Comm, Flow, Sleep, Then, Waiting
from batfs._core.sheets import FAILED as FAILED
from batfs._core.sheets import REJECTED as REJECTED
from batfs._core.sheets import SUCCESS as SUCCESS
from batfs._core.sheets import text_of

try:
    import cython
except ImportError:
    from batfs._core import plain as cython

SUBMITTED = "SUBMITTED"
NOT_SUBMITTED = "NOT_SUBMITTED"
RUNNING = "RUNNING"
WALLTIME = "COMPLETED_WALLTIME_REACHED"
KILLED = "COMPLETED_KILLED"
COMPLETE = frozenset((SUCCESS, FAILED, WALLTIME, KILLED))
STATES = (NOT_SUBMITTED, SUBMITTED, RUNNING, SUCCESS, FAILED, WALLTIME, KILLED, REJECTED)

# what a task gives back besides its profile's ``ret``
WALLTIME_REACHED, KILLED_CODE = -1, -2
NO_TIME = cython.declare(cython.double, 1e-5)  # Batsim's runtime of a job that took no time

#: Whether this is the compiled form.
COMPILED = cython.compiled


@cython.cclass
class Task:
    """One profile being executed: a leaf, or a composed one with its current child."""

    name = cython.declare(str, visibility="public")
    profile = cython.declare(object, visibility="public")
    child = cython.declare(object, visibility="public")
    index = cython.declare(cython.longlong, visibility="public")
    flow = cython.declare(object, visibility="public")
    started = cython.declare(cython.double, visibility="public")
    required = cython.declare(cython.double, visibility="public")

    def __init__(self, name: str, profile: Any) -> None:
        self.name = name
        self.profile = profile
        self.child = None
        self.index = -1
        self.flow = None
        self.started = -1.0
        self.required = 0.0

    def share(self, now: float) -> float:
        """How much of a parallel task or a sleep is done, from 0 to 1."""
        if self.flow is not None:
            return self.flow.progress()
        return (now - self.started) / self.required if self.required > 0.0 else 0.0

    def flows(self) -> list[Flow]:
        """The parallel tasks in progress (one at most)."""
        found = [] if self.flow is None else [self.flow]
        return found if self.child is None else found + self.child.flows()


@cython.cclass
class SimJob:
    """A job in memory, from submission to the report of its end.

    ``alloc``: its machines, ascending. ``ranks``: the executor of each rank of a usage trace. ``inbox``:
    messages for it, once there are any.
    """

    job = cython.declare(object, visibility="public")
    id = cython.declare(str, visibility="public")
    profile = cython.declare(object, visibility="public")
    workload = cython.declare(str, visibility="public")
    state = cython.declare(str, visibility="public")
    start = cython.declare(cython.double, visibility="public")
    runtime = cython.declare(cython.double, visibility="public")
    return_code = cython.declare(object, visibility="public")
    alloc = cython.declare(tuple, visibility="public")
    alloc_text = cython.declare(str, visibility="public")
    mapping = cython.declare(object, visibility="public")
    ranks = cython.declare(object, visibility="public")
    storage_mapping = cython.declare(object, visibility="public")
    io = cython.declare(object, visibility="public")
    execution = cython.declare(object, visibility="public")
    metadata = cython.declare(str, visibility="public")
    kill_requested = cython.declare(cython.bint, visibility="public")
    actors = cython.declare(list, visibility="public")
    task = cython.declare(object, visibility="public")
    inbox = cython.declare(object, visibility="public")

    def __init__(self, job: Any, profile: Any, workload: str) -> None:
        self.job = job
        self.id = job.id
        self.profile = profile
        self.workload = workload
        self.state = NOT_SUBMITTED
        self.start = -1.0
        self.runtime = -1.0
        self.return_code = -1
        self.alloc = ()
        self.alloc_text = ""
        self.mapping = self.ranks = self.storage_mapping = self.io = self.execution = None
        self.metadata = ""
        self.kill_requested = False
        self.actors = []
        self.task = self.inbox = None


@cython.cclass
class KnownWorkload:
    """A workload's profiles: those of its file, those registered since, and the names that are gone.

    ``past``: profiles that a registered sequence holds, whose names may be gone (Batsim 5).
    """

    name = cython.declare(str, visibility="public")
    profiles = cython.declare(object, visibility="public")
    gone = cython.declare(set, visibility="public")
    dynamic = cython.declare(dict, visibility="public")
    past = cython.declare(dict, visibility="public")
    path = cython.declare(str, visibility="public")

    def __init__(self, name: str, profiles: Mapping[str, Any], gone: Sequence[str], path: str) -> None:
        self.name = name
        self.profiles = profiles
        self.gone = set(gone)
        self.dynamic = {}
        self.past = {}
        self.path = path

    def exists(self, name: str) -> bool:
        """Whether the name was ever taken."""
        return name in self.profiles or name in self.dynamic or name in self.gone

    def get(self, name: str) -> Any:
        """The profile, if it is still in memory."""
        if name in self.gone:
            return None
        return self.dynamic.get(name) or self.profiles.get(name)


# ---- machines ----------------------------------------------------------------------------------------------


@cython.cclass
class States:
    """The machines' states: a machine computes from its first job's start to its last job's end.

    ``busy``: bytes, 1 where one computes. ``since`` float64: when each last changed its state or, while
    ``simple`` (no machine has been shared or unavailable yet), last stopped to compute. ``further`` int64:
    how many more jobs than one compute on each. ``away``, ``shareable``: bytes, 1 where one is unavailable,
    and where several jobs may compute at once. ``idle`` and ``computing`` count machines. ``tell`` is told
    (the time, idle, computing) at each change, ``trace`` who starts and who is idle; None: nobody is.
    """

    count = cython.declare(cython.longlong, visibility="public")
    busy = cython.declare(bytearray, visibility="public")
    since = cython.declare(object, visibility="public")
    further = cython.declare(object, visibility="public")
    away = cython.declare(bytearray, visibility="public")
    shareable = cython.declare(bytearray, visibility="public")
    running = cython.declare(dict, visibility="public")
    idle = cython.declare(cython.longlong, visibility="public")
    computing = cython.declare(cython.longlong, visibility="public")
    simple = cython.declare(cython.bint, visibility="public")
    time_computing = cython.declare(cython.double, visibility="public")
    time_unavailable = cython.declare(cython.double, visibility="public")
    idled = cython.declare(cython.double, visibility="public")
    tell = cython.declare(object, visibility="public")
    trace = cython.declare(object, visibility="public")
    computes: cython.p_uchar
    is_away: cython.p_uchar
    may_share: cython.p_uchar
    stopped: cython.p_double
    others: cython.p_longlong

    def __init__(self, machines: int) -> None:
        self.count = machines
        self.busy = bytearray(machines)
        self.since, self.further = doubles(machines), integers(machines)
        self.away = bytearray(machines)
        self.shareable = bytearray(machines)
        self.running = {}
        self.idle = machines
        self.computing = 0
        self.simple = True
        self.time_computing = self.time_unavailable = self.idled = 0.0
        self.tell = self.trace = None
        self.computes = self.busy
        self.is_away = self.away
        self.may_share = self.shareable
        if cython.compiled:
            self.stopped = cython.cast(
                cython.p_double, cython.cast(cython.size_t, self.since.buffer_info()[0])
            )
            self.others = cython.cast(
                cython.p_longlong, cython.cast(cython.size_t, self.further.buffer_info()[0])
            )
        else:
            self.stopped, self.others = self.since, self.further

    def start(self, job: SimJob, now: cython.double) -> None:
        """The job's machines start to compute, at ``job.start``, which is now."""
        start_machines(self, job, now)

    def end(self, job: SimJob, now: cython.double) -> None:
        """The job's machines are done with it. One that is unavailable stays so."""
        end_machines(self, job, now)

    @property
    def time_idle(self) -> float:
        """Seconds, over all machines, until each last changed its state."""
        if not self.simple:
            return self.idled
        # what each did until it last stopped to compute was to compute or to be idle
        idle: float = sum(self.since) - self.time_computing
        for job in self.running.values():
            idle += sum([job.start - self.since[i] for i in job.alloc])
        return idle

    def leave_simple(self) -> None:
        """From now on each machine tells what it did whenever its state changes."""
        if self.simple:
            self.idled = self.time_idle
            self.simple = False
            for job in self.running.values():
                for i in job.alloc:
                    self.since[i] = job.start

    def spend(self, i: cython.longlong, now: cython.double) -> None:
        """A machine was in its state until now."""
        spend(self, i, now)


@cython.cfunc
@cython.exceptval(check=False)
def spend(s: States, i: cython.longlong, now: cython.double) -> cython.void:
    """See :meth:`States.spend`."""
    spent: cython.double = now - s.stopped[i]
    if s.is_away[i]:
        s.time_unavailable += spent
    elif s.computes[i]:
        s.time_computing += spent
    else:
        s.idled += spent
    s.stopped[i] = now


@cython.cfunc
def start_machines(s: States, job: SimJob, now: cython.double):
    """See :meth:`States.start`."""
    alloc: tuple = job.alloc
    size: cython.longlong = len(alloc)
    i: cython.longlong
    if s.simple and none_computes(s, alloc):
        for i in alloc:
            s.computes[i] = 1
        s.idle -= size
        s.computing += size
    else:
        s.leave_simple()
        for i in alloc:
            spend(s, i, now)
            if s.computes[i]:
                s.others[i] += 1
            else:
                s.computes[i] = 1
                s.idle -= 1
                s.computing += 1
    s.running[job.id] = job
    if s.tell is not None:
        s.tell(now, s.idle, s.computing)
    if s.trace is not None:
        s.trace.job_started(job.id, alloc, now)


@cython.cfunc
def end_machines(s: States, job: SimJob, now: cython.double):
    """See :meth:`States.end`."""
    alloc: tuple = job.alloc
    size: cython.longlong = len(alloc)
    i: cython.longlong
    if s.simple:
        s.time_computing += size * (now - job.start)
        for i in alloc:
            s.computes[i] = 0
            s.stopped[i] = now
        s.idle += size
        s.computing -= size
    else:
        freed: list = []
        for i in alloc:
            if s.others[i] > 0:
                s.others[i] -= 1
            elif s.is_away[i]:
                s.computes[i] = 0
            else:
                spend(s, i, now)
                s.computes[i] = 0
                s.idle += 1
                s.computing -= 1
                freed.append(i)
        alloc = tuple(freed)
    del s.running[job.id]
    if s.tell is not None:
        s.tell(now, s.idle, s.computing)
    if s.trace is not None and alloc:
        s.trace.machines_idle(alloc, now)


@cython.cfunc
def none_computes(s: States, machines: tuple) -> cython.bint:
    """Whether none of them computes."""
    i: cython.longlong
    for i in machines:  # noqa: SIM110 (typed, as it stands)
        if s.computes[i]:
            return False
    return True


# ---- the desk ----------------------------------------------------------------------------------------------


@cython.cclass
class Desk:
    """What the server knows, and what it does for every job; its subclasses do the rest.

    ``ways``: what transfers use, by the ids of the storages they are from and to, as far as they are known.
    ``to_create``: (script, host, job or None) of an actor that a message asks for. ``kinds`` are the classes
    of the protocol's records that are made and met here: see :meth:`meet`. ``digits``: whether a date is
    rounded to six decimals, as Batsim 4 prints it; else :meth:`date` says how.
    """

    engine = cython.declare(object, visibility="public")
    maestro = cython.declare(object, visibility="public")
    mailbox = cython.declare(object, visibility="public")
    machines = cython.declare(States, visibility="public")
    outputs = cython.declare(object, visibility="public")
    options = cython.declare(object, visibility="public")
    actor = cython.declare(object, visibility="public")
    master = cython.declare(cython.longlong, visibility="public")
    jobs = cython.declare(dict, visibility="public")
    workloads = cython.declare(dict, visibility="public")
    events = cython.declare(list, visibility="public")
    to_create = cython.declare(object, visibility="public")
    to_forget = cython.declare(list, visibility="public")
    scheduler_ready = cython.declare(cython.bint, visibility="public")
    ending = cython.declare(cython.bint, visibility="public")
    ended = cython.declare(cython.bint, visibility="public")
    registration_over = cython.declare(cython.bint, visibility="public")
    requests = cython.declare(cython.longlong, visibility="public")
    submitted = cython.declare(cython.longlong, visibility="public")
    completed = cython.declare(cython.longlong, visibility="public")
    running = cython.declare(cython.longlong, visibility="public")
    waiting = cython.declare(cython.longlong, visibility="public")
    killing = cython.declare(cython.longlong, visibility="public")
    submitters = cython.declare(dict, visibility="public")
    farewells = cython.declare(dict, visibility="public")
    deciding = cython.declare(cython.double, visibility="public")
    known_ids = cython.declare(set, visibility="public")
    ways = cython.declare(dict, visibility="public")
    process: object
    rounded: object
    on_work: object
    acknowledging: cython.bint
    profile_reuse: cython.bint
    keep_io_profiles: cython.bint
    six: cython.bint
    # classes
    at_once: object
    composed: object
    sparse: object
    staging: object
    a_request: object
    a_submission: object
    a_completion: object
    an_end: object
    an_execution: object
    a_kill: object
    a_registration: object

    def __init__(self) -> None:
        self.jobs = {}
        self.workloads = {}
        self.events = []
        self.to_create = None
        self.to_forget = []
        self.scheduler_ready = self.ending = self.ended = False
        self.requests = 0
        self.submitted = self.completed = self.running = self.waiting = self.killing = 0
        self.submitters = {"job": 0, "event": 0}
        self.farewells = {"job": 0, "event": 0}
        self.deciding = 0.0
        self.known_ids = None
        self.ways = {}

    def meet(self, process: Any, options: Any, profiles: tuple, records: tuple, rounded: Any) -> None:
        """Who decides, and by which rules. ``profiles``: the classes of those that are executed at once, of
        sequences, of sparse ones, of data staging; ``records``: of requests, submissions, completions, the
        simulation's end, executions, kills, registrations; ``rounded``: a job as it is after it came in a
        message."""
        self.process = process
        self.options = options
        self.on_work = options.on_work
        self.acknowledging = options.acknowledge_dynamic_jobs
        self.profile_reuse = options.profile_reuse
        self.keep_io_profiles = options.keep_io_profiles
        self.six = options.generation == 4
        self.at_once, self.composed, self.sparse, self.staging = profiles
        (
            self.a_request,
            self.a_submission,
            self.a_completion,
            self.an_end,
            self.an_execution,
            self.a_kill,
            self.a_registration,
        ) = records
        self.rounded = rounded

    # ---- actors ----

    def create_actor(self, actor: Any) -> None:
        """The kernel call that creates an actor: it is ready before its creator."""
        script, host, job = self.to_create
        self.to_create = None
        created = self.maestro.create(script, host)
        if job is not None:
            job.actors.append(created)
        self.maestro.ready.append(actor)

    # ---- asking the scheduler ----

    def date(self) -> float:
        """The clock as Batsim prints it, with 6 decimals."""
        return self.engine.date

    def ask(self, request: Any) -> Any:
        """The scheduler's reply, and the time it takes."""
        return ask(self, request)

    def request(self) -> Any:
        """What happened, for the scheduler; jobs whose end is in it leave memory."""
        return request(self)

    def drop_profile(self, job: SimJob) -> None:
        """Batsim removes the profile of a finished job, and its children, even if others need the name."""
        workload: KnownWorkload = self.workloads[job.workload]
        name = job.job.profile
        if name in workload.gone:
            return
        names: list = [name]
        while names:
            name = names.pop()
            if name in workload.gone:
                continue
            profile = workload.get(name)
            workload.gone.add(name)
            workload.dynamic.pop(name, None)
            if type(profile) is self.composed:
                names.extend(profile.sequence)

    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return (
            self.completed == self.submitted
            and not (self.running or self.waiting or self.killing)
            and self.registration_over
            and self.farewells == self.submitters
        )

    # ---- what the subclasses say ----

    def open(self) -> None:
        """The server begins: the first request."""
        raise NotImplementedError

    def ask_apart(self) -> None:
        """A request whose reply an actor of its own hands out is to be created."""
        raise NotImplementedError

    def parse(self, reply: Any, i: int) -> tuple:
        """Decision ``i`` as a message, (handler, argument)."""
        raise NotImplementedError

    def deliver(self, reply: Any, first: int, message: Any = None) -> Any:
        """The script that sends the decisions from ``first`` on."""
        raise NotImplementedError

    def refuse_execution(self, decision: Any) -> None:
        """A job is not there to be executed: raises what says so."""
        raise NotImplementedError

    def place(self, job: SimJob, decision: Any) -> None:
        """Check where a job is to run, and note it."""
        raise NotImplementedError

    def execution(self, job: SimJob) -> Any:
        """The script of a job of several tasks."""
        raise NotImplementedError

    def computes_at_once(self, job: SimJob, profile: Any) -> bool:
        """Whether the first thing that such a job does is a parallel task or a sleep."""
        raise NotImplementedError

    def io_task(self, job: SimJob) -> Any:
        """The I/O that goes with the job."""
        raise NotImplementedError

    def work_of(self, job: SimJob, task: Task, io: Any) -> Any:
        """What a parallel task uses."""
        raise NotImplementedError

    # ---- messages ----

    def on_submitted(self, batch: list) -> None:
        """Jobs arrive, which were submitted in one instant."""
        date = told(self)
        workload: KnownWorkload
        record: SimJob
        for job in batch:
            name: str = job.id
            workload = self.workloads[name.partition("!")[0]]
            profile = workload.profiles[job.profile]
            record = SimJob(job, profile, workload.name)
            record.state = SUBMITTED
            self.jobs[name] = record
            self.events.append(self.a_submission(date, job, profile))
        self.submitted += len(batch)

    def on_registered(self, job: SimJob) -> None:
        """A dynamic job is counted, and announced when acknowledgements are on."""
        self.submitted += 1
        if self.acknowledging:
            self.events.append(self.a_submission(told(self), job.job, job.profile))

    def on_ready(self, _: object) -> None:
        """The scheduler has said all it had to."""
        self.scheduler_ready = True
        if self.ending:
            self.ended = True

    def on_execute(self, decision: Any) -> None:
        """A job starts: its actor is to be created."""
        job: SimJob = self.jobs.get(decision.job_id)
        if job is None or job.state != SUBMITTED:
            self.refuse_execution(decision)
        if not at_its_place(self, job, decision):
            self.place(job, decision)
        job.state = RUNNING
        self.running += 1
        script = Life(self, job) if type(job.profile) in self.at_once else self.execution(job)
        self.to_create = (script, self.machines.hosts[job.alloc[0]], job)

    def job_id_taken(self, job_id: str) -> bool:
        """Whether a job of that id exists or existed; from now on one does."""
        return taken(self, job_id)

    def registered(self, job: Any) -> Any:
        """A dynamic job of a new id and a known profile, in memory from now on; None of another one."""
        return registered(self, job)

    def static_ids(self) -> set:
        """The ids of the jobs that nobody has to register."""
        raise NotImplementedError

    def placed(self, job: SimJob, alloc: tuple, decision: Any) -> None:
        """Where a job runs is noted in it."""
        placed(self, job, alloc, decision)

    def on_job_completed(self, job: SimJob) -> None:
        """A job has ended."""
        self.running -= 1
        report(self, job)

    def report(self, job: SimJob) -> None:
        """Its end is told to everybody."""
        report(self, job)

    # ---- a job's life ----

    def begin(self, job: SimJob) -> None:
        """It starts now."""
        begin(self, job)

    def flow_of(self, job: SimJob, task: Task, left: float, io: Any) -> Any:
        """The flow of a task that has ``left`` seconds (below 0: no end of them), with its I/O."""
        return flow_of(self, job, task, left, io)

    def code_of(self, job: SimJob, task: Task, outcome: int) -> int:
        """What its task gives back when the wait for its flow has ended so."""
        return code_of(self, job, task, outcome)

    def conclude(self, job: SimJob, code: int) -> None:
        """Its task is over."""
        conclude(self, job, code)

    def finish(self, job: SimJob) -> None:
        """The job's end now: its runtime, its machines, its trace."""
        finish(self, job)


@cython.cfunc
def ask(d: Desk, request: Any):
    """See :meth:`Desk.ask`."""
    begin: cython.double = perf_counter()
    reply = d.process.decide(request)
    d.deciding += perf_counter() - begin
    return reply


@cython.cfunc
def request(d: Desk):
    """See :meth:`Desk.request`."""
    request = d.a_request(told(d), d.events)
    d.events = []
    d.scheduler_ready = False
    job: SimJob
    if d.to_forget:
        for one in d.to_forget:
            job = one
            forget(d, job)
        d.to_forget.clear()
    d.requests += 1
    return request


@cython.cfunc
def taken(d: Desk, job_id: str) -> cython.bint:
    """See :meth:`Desk.job_id_taken`."""
    if d.known_ids is None:
        d.known_ids = d.static_ids()
    if job_id in d.known_ids:
        return True
    d.known_ids.add(job_id)
    return False


@cython.cfunc
def registered(d: Desk, job: Any) -> SimJob:
    """See :meth:`Desk.registered`."""
    job = d.rounded(job)
    name: str = job.id
    workload: KnownWorkload = d.workloads.get(name.partition("!")[0])
    profile = None if workload is None else workload.get(job.profile)
    if profile is None or (job.walltime is not None and job.walltime <= 0.0) or taken(d, name):
        return None
    record: SimJob = SimJob(job, profile, workload.name)
    record.state = SUBMITTED
    d.jobs[name] = record
    return record


@cython.cfunc
def placed(d: Desk, job: SimJob, alloc: tuple, decision: Any):
    """See :meth:`Desk.placed`."""
    job.alloc = alloc
    job.alloc_text = text_of(alloc)
    job.storage_mapping = decision.storage_mapping
    job.io = decision.io_job


@cython.cfunc
def report(d: Desk, job: SimJob):
    """See :meth:`Desk.report`."""
    d.completed += 1
    d.events.append(d.a_completion(told(d), job.id, job.state, job.return_code, job.alloc_text))
    d.outputs.job_done(job)
    d.to_forget.append(job)


@cython.cfunc
def begin(d: Desk, job: SimJob):
    """See :meth:`Desk.begin`."""
    now: cython.double = d.engine.now
    job.start = now
    job.task = Task(job.job.profile, job.profile)
    start_machines(d.machines, job, now)


@cython.cfunc
def flow_of(d: Desk, job: SimJob, task: Task, left: float, io: Any):
    """See :meth:`Desk.flow_of`."""
    work = None
    if io is None and type(task.profile) is d.staging:
        work = staged(d, job, task.profile)
    if work is None:
        work = d.work_of(job, task, io)
    if io is not None and d.on_work is not None:
        d.on_work(job.id, work)
    task.flow = Flow(d.maestro, work, left)
    return task.flow


@cython.cfunc
def staged(d: Desk, job: SimJob, profile: Any):
    """The work of data staging, where there are bytes to move and the way is known; else None."""
    mapping = job.storage_mapping
    if mapping is None or profile.size <= 0:
        return None
    way = d.ways.get((mapping.get(profile.source), mapping.get(profile.destination)))
    return None if way is None else way.work(profile.size)


@cython.cfunc
def code_of(d: Desk, job: SimJob, task: Task, outcome: int):
    """See :meth:`Desk.code_of`."""
    ret = getattr(task.profile, "ret", 0)
    if outcome == TIMED_OUT:
        ret = WALLTIME_REACHED
        job.actors[0].owned.append(task.flow)  # it goes on using its resources until this actor ends
    elif outcome == CANCELLED:
        ret = KILLED_CODE
    task.flow = None
    return ret


@cython.cfunc
def conclude(d: Desk, job: SimJob, code: int):
    """See :meth:`Desk.conclude`."""
    job.return_code = code
    if code == 0:
        job.state = SUCCESS
    elif code > 0:
        job.state = FAILED
    elif code == WALLTIME_REACHED:
        job.state = WALLTIME
    else:
        job.state = KILLED
    finish(d, job)


@cython.cfunc
def finish(d: Desk, job: SimJob):
    """See :meth:`Desk.finish`."""
    now: cython.double = d.engine.now
    if job.state == WALLTIME or job.state == KILLED:
        d.outputs.job_killed(job, now)
    runtime: cython.double = now - job.start
    job.runtime = runtime if runtime > 0.0 else NO_TIME
    end_machines(d.machines, job, now)
    job.actors.clear()


@cython.cfunc
def told(d: Desk):
    """The date that goes into messages."""
    if d.six:
        return d.engine.date
    return d.date()


@cython.cfunc
def forget(d: Desk, job: SimJob):
    """A finished or rejected job and its profile leave memory."""
    workload: KnownWorkload
    d.jobs.pop(job.id, None)
    if job.io is not None and not d.keep_io_profiles and job.io.profile is not None:
        workload = d.workloads[job.workload]
        workload.dynamic.pop(job.io.profile_name, None)
    if not d.profile_reuse:
        d.drop_profile(job)


@cython.cfunc
def at_its_place(d: Desk, job: SimJob, decision: Any) -> cython.bint:
    """Place a job as nearly all are: as many machines as it asks for, which are there and idle, or may be
    shared. Else somebody must look closer."""
    alloc: tuple = tuple(decision.alloc)
    size: cython.longlong = len(alloc)
    nodes: cython.longlong = job.job.requested_nodes
    machines: States = d.machines
    i: cython.longlong
    if size == 0 or size != nodes or decision.mapping is not None:
        return False
    for i in alloc:
        if i < 0 or i >= machines.count or machines.is_away[i]:
            return False
        if machines.computes[i] and not machines.may_share[i]:
            return False
    if decision.io_job is not None:
        for i in decision.io_job.alloc:
            if i < 0 or i >= machines.count:
                return False
    placed(d, job, alloc, decision)
    return True


@cython.cclass
class Life:
    """The actor of a job that is one parallel task: it starts, waits for its end, and tells the server."""

    desk: Desk
    job: SimJob
    began: cython.bint

    def __init__(self, desk: Desk, job: SimJob) -> None:
        self.desk = desk
        self.job = job
        self.began = False

    def send(self, outcome: Any) -> Any:
        """Its next call, as a generator would give it."""
        desk: Desk = self.desk
        job: SimJob = self.job
        if not self.began:
            self.began = True
            walltime = job.job.walltime
            begin(desk, job)
            io = job.io
            if io is not None and type(io.profile) is not desk.sparse:
                io = desk.io_task(job)
            return flow_of(desk, job, job.task, -1.0 if walltime is None else walltime, io)
        if job is None:
            raise StopIteration
        self.job = None
        code = code_of(desk, job, job.task, outcome)
        conclude(desk, job, code)
        if code == KILLED_CODE:
            raise StopIteration
        return Comm(desk.mailbox, (desk.on_job_completed, job), ENDS)

    def close(self) -> None:
        """It ends where it stands."""
        self.began = True
        self.job = None


# ---- speaking with the scheduler ---------------------------------------------------------------------------


@cython.cfunc
def ends(d: Desk) -> cython.bint:
    """Whether the scheduler is to be told, once, that the simulation ends."""
    if d.ending or d.completed != d.submitted or d.running or not d.finished():
        return False
    d.ending = True
    d.events.append(d.an_end(told(d)))
    return True


@cython.cfunc
def read(d: Desk, reply: Any, decisions: Any, i: cython.longlong) -> tuple:
    """Decision ``i`` as a message to the server, with the checks Batsim makes on its arrival."""
    decision = decisions[i]
    if type(decision) is d.an_execution and decision.timestamp <= reply.now:
        job: SimJob = d.jobs.get(decision.job_id)
        if job is not None and with_its_profile(d, job, decision.io_job):
            return (d.on_execute, decision)
    elif type(decision) is d.a_registration and decision.timestamp <= reply.now and not d.registration_over:
        job = registered(d, decision.job)
        if job is not None:
            return (d.on_registered, job)
    return d.parse(reply, i)


@cython.cfunc
def with_its_profile(d: Desk, job: SimJob, io: Any) -> cython.bint:
    """Whether a job has no I/O, or comes with an own profile for it, as they nearly all do: it is registered
    then."""
    if io is None:
        return True
    profile = io.profile
    if type(profile) is not d.sparse or profile.flops is not None or not len(io.alloc):
        return False
    workload: KnownWorkload = d.workloads[job.workload]
    name = io.profile_name
    if name in workload.dynamic or name in workload.profiles or name in workload.gone:
        return False
    workload.dynamic[name] = profile
    return True


@cython.cfunc
def goes_on(d: Desk, decision: Any) -> cython.bint:
    """Whether what a decision creates sleeps or computes at once, without further messages."""
    job: SimJob
    kind = type(decision)
    if kind is d.an_execution:
        job = d.jobs.get(decision.job_id)
        return job is not None and (type(job.profile) in d.at_once or d.computes_at_once(job, job.profile))
    return kind is not d.a_kill


@cython.cfunc
def start_created(d: Desk):
    """Create an actor that sleeps or computes first thing, and let it do so; nobody else is awake."""
    maestro = d.maestro
    script, host, job = d.to_create
    d.to_create = None
    actor = maestro.enrol(script, host)
    if job is not None:
        job.actors.append(actor)
    maestro.begin(actor)


@cython.cfunc
def exchange(d: Desk):
    """What the actor of a reply and the server do together, as long as nobody else is awake, in one go.

    Each message is sent, and handled, while the next decision is being read; a job that is to be executed
    starts. The order of all this is that of the actors' sub-rounds. None: the scheduler has been heard, or
    an actor will go on after a while. A message: the server waits for it (or has it already) together with
    the actor that goes on, because something else ended, or has to be done, first.
    """
    maestro, engine, mailbox = d.maestro, d.engine, d.mailbox
    reply = ask(d, request(d))
    decisions = reply.decisions
    count: cython.longlong = len(decisions)
    sent: cython.longlong = 0
    stamp: cython.longlong
    slot: cython.longlong
    now: cython.double
    when: cython.double
    message: tuple
    following: tuple
    ready: tuple = (d.on_ready, None)
    message = read(d, reply, decisions, 0) if count else ready
    when = decisions[0].timestamp if count else reply.now
    now = engine.now
    stamp = engine.stamp() if when > now else -1
    while True:
        if stamp >= 0:
            now = engine.now
            slot = engine.pause(when - now, stamp)
            if slot >= 0:
                actor = maestro.enrol(d.deliver(reply, sent, message), d.master)
                engine.owners[slot] = Sleep.begun(maestro, when - now, actor, slot)
                return None
        sent += 1
        slot = mailbox.deliver(d.master)
        if slot >= 0:
            comm = Comm(mailbox, message)
            engine.owners[slot] = comm
            comm.waiters += (maestro.enrol(d.deliver(reply, sent), d.master), d.actor)
            return comm
        if sent > count:
            d.on_ready(None)
            return None
        if not goes_on(d, decisions[sent - 1]):
            maestro.ready += (maestro.enrol(d.deliver(reply, sent), d.master), d.actor)
            return Comm(mailbox, message)
        following = read(d, reply, decisions, sent) if sent < count else ready
        when = decisions[sent].timestamp if sent < count else reply.now
        now = engine.now
        stamp = engine.stamp() if when > now else -1
        message[0](message[1])
        if d.to_create is not None:
            start_created(d)
        message = following


RECEIVING = cython.declare(cython.longlong, 0)
HANDLING = cython.declare(cython.longlong, 1)
HANDLED = cython.declare(cython.longlong, 2)
LOOKED = cython.declare(cython.longlong, 3)
TO_RECEIVE = cython.declare(cython.longlong, 4)
TO_BEGIN = cython.declare(cython.longlong, 5)


@cython.cclass
class Service:
    """The server's life: messages, one after the other, and requests whenever the scheduler is ready,
    something has happened and nobody else waits to be heard."""

    desk: Desk
    create: object  # the call that creates an actor
    comm: object  # the message that is waited for
    stage: cython.longlong  # what comes next

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.create = Then(desk.create_actor)
        self.comm = None
        self.stage = TO_BEGIN

    def send(self, answer: Any) -> Any:
        """The next call, as a generator would give it."""
        desk: Desk = self.desk
        maestro = desk.maestro
        comm = None
        stage: cython.longlong = self.stage
        if stage == TO_BEGIN:
            desk.open()
            self.stage = TO_RECEIVE
            return self.create
        if stage == RECEIVING:
            comm = answer
            stage = HANDLING
        elif stage == HANDLING:
            comm = self.comm
            self.comm = None
        while True:
            if stage == HANDLING:
                message: tuple = comm.message
                message[0](message[1])
                if desk.to_create is not None:
                    self.stage = HANDLED
                    return self.create
                stage = HANDLED
            if stage == HANDLED:
                if not desk.scheduler_ready or desk.ended:
                    stage = TO_RECEIVE
                elif not maestro.alone:
                    self.stage = LOOKED  # into the mailbox: that is a kernel call
                    return None
                else:
                    stage = LOOKED
            if stage == LOOKED:
                if desk.mailbox.queue or not (desk.events or ends(desk)):
                    stage = TO_RECEIVE
                elif not maestro.alone or maestro.cancelled:
                    desk.ask_apart()
                    self.stage = TO_RECEIVE
                    return self.create
                else:
                    self.comm = exchange(desk)
                    if self.comm is not None:
                        self.stage = HANDLING
                        return Waiting(self.comm)
                    stage = HANDLED
                    continue
            if desk.ended:
                raise StopIteration
            self.stage = RECEIVING
            return desk.mailbox.receive

    def close(self) -> None:
        """It ends where it stands."""
