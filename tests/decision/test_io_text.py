"""The text of an I/O profile, against its matrix."""

from __future__ import annotations

import json

import numpy as np
import orjson
from hypothesis import given
from hypothesis import strategies as st

from batfs._core.flows import Amounts, Even
from batfs.protocol import messages as m
from batfs.protocol.decision_side import io_job_to_json
from batfs.workload.model import IoProfile


def dense(profile: IoProfile) -> bytes:
    """By arrays: whole volumes as integers."""
    n, matrix = len(profile.ids), profile.matrix()
    com = matrix.astype(np.int64) if not (matrix % 1.0).any() else matrix
    cpu = [0] * n if profile.flops is None else profile.flops
    return orjson.dumps({"type": "parallel", "cpu": cpu, "com": com}, option=orjson.OPT_SERIALIZE_NUMPY)


@given(st.data(), st.integers(1, 9), st.integers(1, 4), st.booleans(), st.booleans())
def test_the_text_of_even_bytes_is_their_matrix(
    data: st.DataObject, n: int, m_: int, reading: bool, writing: bool
) -> None:
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
    even = Even(ids[:n], ids[n:], amounts(writing), amounts(reading or not writing))
    profile = IoProfile.evenly(even)
    io = m.IoJob(profile.resources(), 'an "odd" name', profile)
    text = orjson.dumps(io_job_to_json(io))
    assert orjson.dumps(json.loads(text)["profile"]) == dense(profile)
    assert dense(profile) in text
    plain = IoProfile(profile.ids, profile.sources, profile.destinations, profile.volumes)
    assert orjson.dumps(io_job_to_json(m.IoJob(io.alloc, io.profile_name, plain))) == text


@given(
    st.integers(1, 7),
    st.dictionaries(st.tuples(st.integers(0, 6), st.integers(0, 6)), st.integers(1, 1 << 52), max_size=12),
    st.booleans(),
    st.booleans(),
)
def test_the_text_of_any_flows_is_their_matrix(
    n: int, pairs: dict[tuple[int, int], int], halves: bool, working: bool
) -> None:
    """Also where a volume is no whole number: then all of them are written as such."""
    flows = sorted((s, d, v) for (s, d), v in pairs.items() if s < n and d < n)
    volumes = np.array([v + (0.5 if halves and v < 1 << 50 else 0.0) for _, _, v in flows])
    profile = IoProfile(
        np.arange(n),
        np.array([s for s, _, _ in flows], np.int64),
        np.array([d for _, d, _ in flows], np.int64),
        volumes,
        np.linspace(0.0, 1e9, n) if working else None,
    )
    text = orjson.dumps(io_job_to_json(m.IoJob(list(range(n)), "x", profile)))
    assert dense(profile) in text
