"""Sets TensorFlow up before anything imports it.

    pytest tests/python

They need the lithify package, tensorflow, numpy, ml_dtypes and zarr. Tests of other libraries are skipped where those are not there.
"""

import os

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

pytest.register_assert_rewrite("outputs")


@pytest.fixture
def out(tmp_path):
    """A path where nothing is yet, in a directory of its own: where lithify writes."""
    (tmp_path / "place").mkdir()
    return tmp_path / "place" / "out"
