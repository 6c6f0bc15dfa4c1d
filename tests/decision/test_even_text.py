"""The text of an even I/O profile, against the matrix of arrays."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from batfs.protocol import messages as m
from batfs.protocol.decision_side import io_job_text, io_job_to_json
from batfs.workload.even import Amounts, EvenProfile
from batfs.workload.model import IoProfile


@given(st.data(), st.integers(1, 9), st.integers(1, 4), st.booleans(), st.booleans())
def test_the_text_is_the_matrix(data: st.DataObject, n: int, m_: int, reading: bool, writing: bool) -> None:
    def amounts(there: bool) -> Amounts | None:
        return (
            (
                data.draw(st.lists(st.integers(n, 1 << 52), min_size=m_, max_size=m_)),
                data.draw(st.lists(st.integers(0, n - 1), min_size=m_, max_size=m_)),
            )
            if there
            else None
        )

    ids = sorted(data.draw(st.sets(st.integers(0, 40), min_size=n + m_, max_size=n + m_)))
    profile = EvenProfile(ids[:n], ids[n:], amounts(writing), amounts(reading or not writing))
    io = m.IoJob(profile.resources(), 'an "odd" name', profile)
    dense = orjson.dumps(io_job_to_json(io), option=orjson.OPT_SERIALIZE_NUMPY)
    assert orjson.dumps(io_job_text(io)) == dense
    plain = m.IoJob(io.alloc, io.profile_name, profile.plain())
    assert type(plain.profile) is IoProfile
    assert orjson.dumps(io_job_text(plain)) == dense
