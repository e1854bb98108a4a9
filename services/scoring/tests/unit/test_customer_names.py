"""Names in order, by words and by hash, against Python's own sorting."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.jobs.names import ordered

alphabet = st.sampled_from("ab\u00e9")
any_length = st.lists(st.text(alphabet, max_size=12), max_size=40)
one_length = st.integers(8, 20).flatmap(
    lambda size: st.lists(st.text(st.sampled_from("ab"), min_size=size, max_size=size), max_size=40)
)


def check(names: list[str], parts: int = 1) -> None:
    pieces = [names[place::parts] for place in range(parts)]
    arrays = [pa.array(piece, pa.string()) for piece in pieces]
    coded = [array.dictionary_encode() for array in arrays]
    # Files differ in whether they hold names as dictionaries.
    for columns in (arrays, coded, [*coded[:1], *arrays[1:]]):
        distinct, codes = ordered(columns)
        assert distinct.to_pylist() == sorted(set(names), key=str.encode)
        assert [distinct[code].as_py() for code in codes.tolist()] == [name for piece in pieces for name in piece]


@settings(max_examples=40)
@given(any_length | one_length, st.integers(1, 3))
def test_distinct_names_ascend_and_every_row_finds_its_own(names, parts):
    check(names, parts)


@pytest.mark.parametrize("tail", ["", "-and-a-long-tail"])
def test_names_that_share_their_first_eight_bytes(tail):
    names = [f"customers/{place * 7919 % 40_000:08d}{tail}" for place in range(20_000)] * 2
    twins = [f"customers/{place:08d}"[: 18 - len("x")] + "x" + tail for place in range(30)]
    check(names + twins)
    # Eight bytes alone do not tell these apart.
    check([f"customers/aaaaaaaa{tail}{number:04d}" for number in range(200)] * 2)
    check([f"{lead}customers/{number:08d}" for number in range(100) for lead in ("xxxxxxxxx", "xxxxxxxxy")])


def test_a_slice_of_a_column_is_itself():
    column = pa.array([f"customers/{number % 7:04d}" for number in range(100)]).slice(13, 50)
    for part in (column, column.dictionary_encode(), pa.array(["unused", *column.to_pylist()]).dictionary_encode()[1:]):
        distinct, codes = ordered([part])
        assert len(distinct) == 7
        assert distinct.take(pa.array(np.asarray(codes))).to_pylist() == column.to_pylist()
