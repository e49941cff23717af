"""What is easily wrong without being seen."""

import numpy as np
import pytest
from outputs import assert_npy

import lithify


def test_strings_keep_what_is_nul_at_their_end(out):
    rows = [[[b"a\0", b"bb\0"]], [[b"c", b""]]]
    found = lithify.convert(rows, out, {"array": "ragged"})["array"]
    assert [list(one.ravel()) for one in found] == [[b"a\0", b"bb\0"], [b"c", b""]]


def test_numbers_do_not_become_strings(out):
    with pytest.raises(lithify.DataError, match="holds int"):
        lithify.convert([[1, "a"]], out)


def test_large_integers(out):
    found = lithify.convert([2**63, 2**64 - 1], out)["array"]
    assert found.dtype == np.uint64 and found.tolist() == [2**63, 2**64 - 1]


def test_structured_arrays_with_strings(out):
    rows = np.array([(b"a", 1), (b"abcd", 2)], dtype=[("s", "S5"), ("i", "i4")])
    found = lithify.convert(rows, out)
    assert found["s"].tolist() == [b"a", b"abcd"] and found["i"].tolist() == [1, 2]


@pytest.mark.parametrize("empty", [1, 5000, 20_000])
def test_empty_lists_before_all_others(empty, out):
    found = lithify.convert(iter([[]] * empty + [[1], [2, 3]]), out)["array"]
    assert found.dtype == np.int64 and found.values.tolist() == [1, 2, 3] and found.lengths.sum() == 3


def test_chunks_where_the_first_list_is_empty(out):
    out = out.with_suffix(".zarr")
    found = lithify.convert(iter([np.arange(0)] + [np.arange(at % 7) for at in range(3000)]), out, ragged=True)["array"]
    assert len(list(out.rglob("c.*"))) < 10 and found.lengths.sum() == sum(at % 7 for at in range(3000))


def test_a_record_array_with_a_field_called_mask(out):
    rows = np.rec.fromarrays([np.arange(3), np.ones(3, bool)], names="x,mask")
    found = lithify.convert(rows, out)
    assert found["x"].tolist() == [0, 1, 2] and found["mask"].all()


def test_other_features_of_a_dict_do_not_matter(out):
    found = lithify.convert(iter([{"array": [1, 2]}, {"array": [1], "b": 2}]), out, {"array": "ragged"})["array"]
    assert found.values.tolist() == [1, 2, 1]


def test_elements_that_are_too_large_are_refused(out):
    with pytest.raises(lithify.ResourcesError, match="MiB"):
        lithify.convert((np.zeros((1 << 22) + at) for at in range(3)), out, memory="64MB")


def test_paths_of_bytes(out):
    lithify.convert([1, 2], bytes(out.with_suffix(".npy")))
    assert_npy(out.with_suffix(".npy"), np.array([1, 2]))


def test_points_in_time_of_several_units(out):
    days = [np.datetime64("2020-01-01"), np.datetime64("2020-01-02")]
    found = lithify.convert(days, out)["array"]
    assert np.asarray(found).view("datetime64[D]").tolist() == np.array(days).tolist()
    with pytest.raises(lithify.DataError, match="unit"):
        lithify.convert([*days, np.datetime64("2020-01-01T00:00")], out, overwrite=True)
