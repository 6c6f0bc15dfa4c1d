"""Jobs that wait for data sets: they join the queue when these exist, and never if nobody will write them.

A job that reads a data set with ``missing = wait`` stands apart from the queue until the set exists, so it
keeps nobody back; then it joins the end of the queue. Once no more jobs will be submitted, it is rejected as
soon as no job that is left can come to write the set: there is none, or those that would wait for data sets
themselves which never come to be (in a circle, say).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from batfs.filesystems.data_sets import FILL, MISSING, WAIT, DataSets, makes_set, set_request
from batfs.filesystems.interface import Hold
from batfs.records import record
from batfs.scheduling.interface import WaitingJob

#: A data set: its file system, its name.
Key: TypeAlias = tuple[str, str]


@record
class _Asks:
    """The data sets that a job waits for, and those that are there when it has succeeded."""

    needs: tuple[Key, ...]
    makes: tuple[Key, ...]


class Dependencies:
    """``files``: the file systems; ``books``: what is there. ``held``: jobs that stand apart, by id.
    ``doubt``: whether one may have become hopeless since that was asked last."""

    def __init__(self, files: Any, books: Mapping[str, DataSets]) -> None:
        self._files = files
        self._books = books
        self.held: dict[str, WaitingJob] = {}
        self.doubt = False
        self._asks: dict[str, _Asks] = {}  # of jobs that aren't over
        self._makers: dict[Key, dict[str, None]] = {}
        self._awaited: dict[Key, dict[str, None]] = {}  # what the held need, there or not

    # ---- jobs come and go ---------------------------------------------------------------------------------

    def read(self, job: WaitingJob) -> None:
        """A job that names data sets was submitted."""
        asks = self._asks[job.id] = self._read(job)
        for key in asks.makes:
            self._makers.setdefault(key, {})[job.id] = None

    def over(self, job: WaitingJob) -> None:
        """It is over, or was rejected."""
        asks = self._asks.pop(job.id)
        for key in asks.makes:
            del self._makers[key][job.id]
            if not self._makers[key]:
                del self._makers[key]
            self.doubt = self.doubt or not self._exists(key)
        self._let_go(job.id, asks)

    def hold(self, job: WaitingJob) -> Hold | None:
        """The job stands apart from now on if a data set that it needs isn't there; what it lacks."""
        asks = self._asks.get(job.id)
        lacks = None if asks is None else self._lacks(asks)
        if asks is None or lacks is None:
            return None
        self.held[job.id] = job
        for key in asks.needs:
            self._awaited.setdefault(key, {})[job.id] = None
        self.doubt = True
        return Hold(MISSING, about=f"the data set {lacks[1]!r} is not on {lacks[0]!r}")

    def due(self) -> list[WaitingJob]:
        """Jobs whose data sets are all there now: they stand apart no longer. In order of submission."""
        ready: dict[str, WaitingJob] = {}
        for system, book in self._books.items():
            news, book.news = book.news, set()
            for name in news if self._awaited else ():
                waiting = self._awaited.get((system, name), {})
                if waiting and not book.exists(name):
                    self.doubt = True
                    continue
                for job_id in waiting:
                    if self._lacks(self._asks[job_id]) is None:
                        ready[job_id] = self.held[job_id]
        for job_id in ready:
            self._let_go(job_id, self._asks[job_id])
        return sorted(ready.values(), key=lambda job: job.order)

    def makers(self, key: Key) -> list[str]:
        """Jobs that aren't over and write the set, by id, in order of submission."""
        return list(self._makers.get(key, ()))

    def needs(self, job_id: str) -> tuple[Key, ...]:
        """The data sets that a job waits for until they are there."""
        asks = self._asks.get(job_id)
        return () if asks is None else asks.needs

    # ---- those that wait in vain --------------------------------------------------------------------------

    def hopeless(self) -> list[tuple[WaitingJob, Hold]]:
        """Held jobs whose data sets no job that is left can come to write, and why."""
        self.doubt = False
        left: dict[str, set[Key]] = {}
        for job_id in self.held:
            left[job_id] = {
                key
                for key in self._asks[job_id].needs
                if not self._exists(key) and not any(i not in self.held for i in self._makers.get(key, ()))
            }
        free = [job_id for job_id, lacking in left.items() if not lacking]
        while free:  # what they will write comes to be
            job_id = free.pop()
            for key in self._asks[job_id].makes:
                for other in self._awaited.get(key, ()):
                    if key in left[other]:
                        left[other].remove(key)
                        if not left[other]:
                            free.append(other)
        return [(self.held[job_id], self._why(job_id, left)) for job_id in left if left[job_id]]

    def _why(self, job_id: str, left: Mapping[str, set[Key]]) -> Hold:
        key = next(key for key in self._asks[job_id].needs if key in left[job_id])
        about = f"the data set {key[1]!r} is not on {key[0]!r}, and "
        makers = [i for i in self._makers.get(key, ()) if i != job_id]
        if not makers:
            about += "no job that is left writes it"
        else:
            in_circle = self._wait_for(makers, job_id, left)
            about += f"{makers[0]}, which would write it, "
            about += f"waits for {job_id} in turn" if in_circle else "can never start either"
        return Hold(MISSING, never=True, about=about)

    def _wait_for(self, makers: Iterable[str], job_id: str, left: Mapping[str, set[Key]]) -> bool:
        """Whether any of these waits for what ``job_id`` would write, itself or by others."""
        seen, queue = set[str](), list(makers)
        while queue:
            found = queue.pop()
            if found == job_id:
                return True
            if found not in seen:
                seen.add(found)
                queue += [i for key in left.get(found, ()) for i in self._makers.get(key, ())]
        return False

    # ---- inside -------------------------------------------------------------------------------------------

    def _read(self, job: WaitingJob) -> _Asks:
        needs: dict[Key, None] = {}
        makes: dict[Key, None] = {}
        for volume in job.volumes:
            book = self._files.book_of(volume)
            if book is None:
                continue
            asked = set_request(volume.options)
            key, rule = (book.filesystem, asked.name), asked.missing or book.missing
            if volume.reads and rule == WAIT and key not in makes:  # it may have written it before
                needs[key] = None
            if makes_set(volume, asked) or (volume.reads and rule == FILL):
                makes[key] = None
        return _Asks(tuple(needs), tuple(makes))

    def _exists(self, key: Key) -> bool:
        return self._books[key[0]].exists(key[1])

    def _lacks(self, asks: _Asks) -> Key | None:
        return next((key for key in asks.needs if not self._exists(key)), None)

    def _let_go(self, job_id: str, asks: _Asks) -> None:
        if self.held.pop(job_id, None) is None:
            return
        for key in asks.needs:
            waiting = self._awaited[key]
            del waiting[job_id]
            if not waiting:
                del self._awaited[key]
