"""Sets TensorFlow up before anything imports it, and says what the tests need.

    LITHIFY=target/debug/lithify LITHIFY_TEST_DATA=… pytest tests/oracle

They need tensorflow, numpy and ml_dtypes. Without LITHIFY_TEST_DATA the tests of real files are skipped.
"""

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

pytest.register_assert_rewrite("oracle")


def pytest_configure(config):
    if not Path(os.environ.get("LITHIFY", "")).is_file():
        raise pytest.UsageError("set LITHIFY to the lithify binary that is to be tested")


@pytest.fixture
def out(tmp_path):
    """A directory that does not exist yet: where lithify writes."""
    return tmp_path / "out"
