"""The notebook for users: it is executed, and shows what it should."""

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytest.importorskip("sklearn")

NOTEBOOK = Path(__file__).parents[1] / "notebook" / "lithify.ipynb"


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The cells as they are after each was run, in a directory of their own."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    place = str(tmp_path_factory.mktemp("notebook"))
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": place}}).execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(cells, code):
    """What the cell shows in which this is the last line."""
    (cell,) = [cell for cell in cells if cell.source.splitlines()[-1] == code]
    (output,) = [output for output in cell.outputs if output.output_type == "execute_result"]
    return output.data


def test_it_is_kept_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")


def test_a_profile_is_a_table_with_histograms(executed):
    found = shown(executed, "lithify.scan(elements)")
    page = found["text/html"]
    assert "300 elements of elements" in page and page.count("<table>") == 1
    for name in ("name", "label", "ink", "photo"):
        assert f"<td>{name}</td>" in page
    assert page.count("<svg ") == 2 and page.count("<svg ") == page.count("</svg>")
    assert "resize=" in page
    # Neither scripts nor styles, nor anything from elsewhere.
    assert not any(word in page for word in ("<script", "<style", "http", "src="))
    assert "300 elements" in found["text/plain"]


def test_a_plan_is_a_table(executed):
    found = shown(executed, "plan")
    assert "<td>photo.npy</td><td>photo</td><td>uint8</td><td>(300, 64, 96, 3)</td>" in found["text/html"]
    assert "photo.npy" in found["text/plain"]


def test_arrays_are_shown_as_text(executed):
    shown_of_arrays = [
        output.data["text/plain"]
        for cell in executed
        for output in cell.outputs
        if cell.source.splitlines()[-1] == "arrays" and output.output_type == "execute_result"
    ]
    assert len(shown_of_arrays) == 3
    assert "photo: uint8 (300, 64, 96, 3)" in shown_of_arrays[0]
    (first, *_) = [output.data["text/html"] for cell in executed for output in cell.outputs if cell.source.splitlines()[-1] == "arrays"]
    assert "<td>photo.npy</td><td>photo</td><td>uint8</td><td>(300, 64, 96, 3)</td>" in first


def test_nothing_is_said_that_is_no_result(executed):
    """Progress is shown while it goes on, and wiped away; TensorFlow says what it wants."""
    said = [output.text for cell in executed[1:] for output in cell.outputs if output.output_type == "stream"]
    assert not any("Warning" in text or "Traceback" in text for text in said), said
