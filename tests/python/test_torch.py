"""Datasets and loaders of PyTorch, against NumPy's stack of what they give; and what was written, read by the workers of a loader."""

import gc
import io
import os
import pickle
import sys
import time

import numpy as np
import pytest

import lithify

torch = pytest.importorskip("torch")

from torch.utils import data  # noqa: E402


def npy(array):
    """What `np.save` writes of an array."""
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(array))
    return file.getvalue()


def convert(source, out, expected, **options):
    """Converts, and compares each file with what `np.save` writes of the array that is expected."""
    arrays = lithify.convert(source, out, progress=False, **options)
    assert set(arrays) == set(expected)
    for name, array in expected.items():
        assert (out / f"{name}.npy").read_bytes() == npy(array), name
    left = sorted(os.listdir(out.parent))
    assert left == [out.name], left
    return arrays


class Items(data.Dataset):
    """A map-style dataset of a list."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, at):
        return self.items[at]


class Flow(data.IterableDataset):
    """An iterable dataset of a list, with the part of it that a worker has."""

    def __init__(self, items):
        self.items = items

    def __iter__(self):
        worker = data.get_worker_info()
        return iter(self.items if worker is None else self.items[worker.id :: worker.num_workers])


class Counted(Flow):
    """The same, with a length, that may be wrong."""

    def __init__(self, items, count):
        super().__init__(items)
        self.count = count

    def __len__(self):
        return self.count


def numbered(count, width=3):
    """Rows that all differ."""
    return torch.arange(count * width, dtype=torch.float32).reshape(count, width) / 7


def ragged(count):
    return [torch.arange(at % 5, dtype=torch.int32) + at for at in range(count)]


def same(found, items):
    """Whether a ragged array has these items."""
    assert len(found) == len(items)
    for one, other in zip(found, items):
        other = np.asarray(other)
        assert one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


# --- Datasets ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def collected():
    """Workers that are forked while an iterator of a loader waits to be collected would hinder each other."""
    yield
    gc.collect()


def test_tensor_dataset(out):
    x, y = numbered(1000), torch.arange(1000)
    convert(data.TensorDataset(x, y), out, {"0": x.numpy(), "1": y.numpy()})


def test_tensor_dataset_of_one(out):
    x = numbered(50)
    convert(data.TensorDataset(x), out, {"0": x.numpy()})


def test_subset_and_concat(out):
    both = data.TensorDataset(numbered(10), torch.arange(10))
    subset = data.Subset(both, [7, 1, 4])
    joined = data.ConcatDataset([subset, both])
    order = [7, 1, 4, *range(10)]
    convert(joined, out, {"0": numbered(10).numpy()[order], "1": np.arange(10)[order]})


def test_tuples_of_anything(out):
    items = [(np.full((2, 3), at, np.uint8), at, at / 3, at % 2 == 0, torch.tensor(at, dtype=torch.int16)) for at in range(40)]
    expected = {str(at): np.stack([item[at] for item in items]) for at in range(5)}
    convert(Items(items), out, expected)


def test_dicts_within_tuples(out):
    items = [({"image": numbered(1, 4)[0] + at, "id": at}, (at, {"deep": np.int8(at)})) for at in range(30)]
    expected = {
        "0/image": np.stack([item[0]["image"] for item in items]),
        "0/id": np.arange(30),
        "1/0": np.arange(30),
        "1/1/deep": np.arange(30, dtype=np.int8),
    }
    convert(Items(items), out, expected)


def test_strings(out):
    texts = ["", "a", "é" * 3, "some words"] * 5
    convert(Items([{"text": text, "raw": text.encode()[:2]} for text in texts]), out, {
        "text": np.array([text.encode() for text in texts]),
        "raw": np.array([text.encode()[:2] for text in texts]),
    })


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "complex64", "complex128"])
def test_dtypes(out, dtype):
    items = [torch.arange(6).reshape(2, 3).add(at).to(getattr(torch, dtype)) for at in range(20)]
    convert(Items(items), out, {"array": np.stack(items)})


def test_tensors_as_they_are_used(out):
    def made(at):
        base = torch.arange(24, dtype=torch.float32).reshape(4, 6) + at
        wave = torch.complex(base, base + 1)
        return {
            "grad": base.clone().requires_grad_(),
            "graph": base.clone().requires_grad_() * 2,
            "parameter": torch.nn.Parameter(base[0].clone()),
            "transposed": base.t(),
            "strided": base[::2, ::3],
            "expanded": base[:, :1].expand(4, 5),
            "conjugate": wave.conj(),
            "imaginary": wave.conj().imag,
        }

    items = [made(at) for at in range(10)]
    plain = [{name: value.detach().resolve_conj().resolve_neg().numpy() for name, value in item.items()} for item in items]
    convert(Items(items), out, {name: np.stack([item[name] for item in plain]) for name in items[0]})


def test_bfloat16(out):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    items = [(torch.arange(4) / 3 + at).to(torch.bfloat16) for at in range(10)]
    expected = np.stack([item.float().numpy() for item in items])
    arrays = lithify.convert(Items(items), out, progress=False)
    assert np.array_equal(arrays["array"][:].view(ml_dtypes.bfloat16).astype(np.float32), expected)
    batches = data.DataLoader(Items(items), batch_size=4)
    convert(batches, out, {"array": expected}, dtype="float32", overwrite=True)


def test_bfloat16_without_its_package(out, monkeypatch):
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(lithify.RequestError, match="ml_dtypes"):
        lithify.convert(Items([torch.zeros(2, dtype=torch.bfloat16)]), out, progress=False)


def test_lengths_that_differ(out):
    items = ragged(200)
    same(lithify.convert(Items(items), out, progress=False)["array"], items)
    padded = np.zeros((200, 4), np.int32)
    for row, item in zip(padded, items):
        row[: len(item)] = item
    arrays = lithify.convert(Items(items), out, pad="max", overwrite=True, progress=False)
    assert (out / "array.npy").read_bytes() == npy(padded)
    assert arrays["array.lengths"].tolist() == [len(item) for item in items]


def test_shapes_that_differ(out):
    items = [(torch.full((1 + at % 3, 2 + at % 4), at), at) for at in range(60)]
    arrays = lithify.convert(Items(items), out, progress=False)
    same(arrays["0"], [item[0] for item in items])
    assert arrays["1"].tolist() == list(range(60))


def test_a_sparse_tensor_is_refused(out):
    with pytest.raises(lithify.DataError, match="element 0.*[Ss]parse"):
        lithify.convert(Items([torch.eye(3).to_sparse()]), out, progress=False)


def test_iterable_dataset(out):
    convert(Flow(list(numbered(300))), out, {"array": numbered(300).numpy()})


@pytest.mark.parametrize("count", [100, 40, 160])
def test_iterable_dataset_that_says_how_long_it_is(out, count):
    """A length is a hint, as PyTorch says."""
    convert(Counted(list(numbered(100)), count), out, {"array": numbered(100).numpy()})


def test_scan_and_plan(out):
    both = data.TensorDataset(numbered(100), torch.arange(100))
    profile = lithify.scan(both, progress=False)
    assert profile.elements == 100 and set(profile.features) == {"0", "1"}
    plan = lithify.plan(data.DataLoader(both, batch_size=7), out, progress=False)
    assert [(array["dtype"], array["shape"]) for array in plan.arrays] == [("float32", [100, 3]), ("int64", [100])]
    assert not out.exists()


# --- Loaders -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"batch_size": 1}, {"batch_size": 10}, {"batch_size": 32}, {"batch_size": None}, {"batch_size": 500}])
@pytest.mark.parametrize("workers", [0, 2])
def test_loader(out, options, workers):
    x, y = numbered(100), torch.arange(100)
    loader = data.DataLoader(data.TensorDataset(x, y), num_workers=workers, **options)
    convert(loader, out, {"0": x.numpy(), "1": y.numpy()})


def test_loader_that_drops_the_last(out):
    loader = data.DataLoader(data.TensorDataset(numbered(100)), batch_size=32, drop_last=True)
    convert(loader, out, {"0": numbered(96).numpy()})


def test_loader_of_dicts(out):
    items = [{"x": np.full((2, 2), at, np.int16), "y": at, "z": {"f": float(at)}, "pair": (at, -at)} for at in range(50)]
    convert(data.DataLoader(Items(items), batch_size=8), out, {
        "x": np.stack([item["x"] for item in items]),
        "y": np.arange(50),
        "z/f": np.arange(50, dtype=np.float64),
        "pair/0": np.arange(50),
        "pair/1": -np.arange(50),
    })


def test_loader_of_plain_items(out):
    convert(data.DataLoader(Items([np.float32(at) for at in range(20)]), batch_size=6), out, {"array": np.arange(20, dtype=np.float32)})
    convert(data.DataLoader(Items(list(range(20))), batch_size=6), out, {"array": np.arange(20)}, overwrite=True)


@pytest.mark.parametrize("batch_size", [None, 1, 2, 8])
def test_loader_of_strings(out, batch_size):
    texts = [f"text {at}" * (at % 3) for at in range(20)]
    strings = np.array([text.encode() for text in texts])
    load = lambda items: data.DataLoader(Items(items), batch_size=batch_size)
    convert(load(texts), out, {"array": strings})
    convert(load([(torch.tensor(at), text) for at, text in enumerate(texts)]), out, {"0": np.arange(20), "1": strings}, overwrite=True)
    convert(load([{"n": at, "text": text} for at, text in enumerate(texts)]), out, {"n": np.arange(20), "text": strings}, overwrite=True)
    if batch_size is not None:
        # Without batches, a loader makes the same list of a list and of a tuple.
        convert(load([(text, text[:1]) for text in texts]), out, {"0": strings, "1": np.array([text.encode()[:1] for text in texts])},
                overwrite=True)


def test_loader_without_batches_keeps_lengths(out):
    items = ragged(50)
    same(lithify.convert(data.DataLoader(Items(items), batch_size=None), out, progress=False)["array"], items)


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_of_an_iterable(out, workers):
    loader = data.DataLoader(Flow(list(numbered(90))), batch_size=8, num_workers=workers)
    order = [at for batch in data.DataLoader(Flow(list(range(90))), batch_size=8, num_workers=workers) for at in batch.tolist()]
    convert(loader, out, {"array": numbered(90).numpy()[order]})


def shuffling(kind, dataset):
    generator = torch.Generator().manual_seed(7)
    if kind == "shuffle":
        return data.DataLoader(dataset, batch_size=8, shuffle=True, generator=generator)
    if kind == "single":
        return data.DataLoader(dataset, batch_size=None, shuffle=True, generator=generator)
    if kind == "subset":
        return data.DataLoader(dataset, batch_size=8, sampler=data.SubsetRandomSampler(range(len(dataset)), generator=generator))
    order = data.RandomSampler(dataset, generator=generator)
    return data.DataLoader(dataset, batch_sampler=data.BatchSampler(order, 8, False))


@pytest.mark.parametrize("kind", ["shuffle", "single", "subset", "batches"])
def test_loader_that_shuffles(out, kind):
    """Each row comes once, with what belongs to it, in the order that it was given in."""
    dataset = data.TensorDataset(numbered(100), torch.arange(100))
    arrays = lithify.convert(shuffling(kind, dataset), out, progress=False)
    order = arrays["1"][:]
    assert sorted(order.tolist()) == list(range(100)) and order.tolist() != list(range(100))
    assert np.array_equal(arrays["0"], numbered(100).numpy()[order])
    assert os.listdir(out.parent) == [out.name]


def padded(batch):
    """Texts of one batch are as long as its longest, so that batches differ."""
    tokens = torch.nn.utils.rnn.pad_sequence([item[0] for item in batch], batch_first=True)
    return {"tokens": tokens, "at": torch.tensor([item[1] for item in batch])}


@pytest.mark.parametrize("kind", ["shuffle", "subset", "batches"])
def test_loader_that_shuffles_what_differs_in_length(out, kind):
    items = [(torch.full((1 + at % 9,), at), at) for at in range(100)]
    loader = shuffling(kind, Items(items))
    loader.collate_fn = padded
    arrays = lithify.convert(loader, out, progress=False)
    order = arrays["at"].tolist()
    assert sorted(order) == list(range(100))
    for found, at in zip(arrays["tokens"], order):
        kept = 1 + at % 9
        assert found[:kept].tolist() == [at] * kept and not found[kept:].any()
    assert os.listdir(out.parent) == [out.name]


@pytest.mark.parametrize("again", [None, False])
def test_batches_that_differ_in_width(out, again):
    items = [(torch.full((1 + at % 11,), at, dtype=torch.int32), at) for at in range(100)]
    load = lambda: data.DataLoader(Items(items), batch_size=4, collate_fn=padded)
    rows = [row for batch in load() for row in batch["tokens"]]
    arrays = lithify.convert(load(), out, again=again, progress=False)
    same(arrays["tokens"], rows)
    widest = np.zeros((100, 11), np.int32)
    for into, row in zip(widest, rows):
        into[: len(row)] = row
    arrays = lithify.convert(load(), out, {"tokens": "pad=max", "at": None}, again=again, overwrite=True, progress=False)
    assert (out / "tokens.npy").read_bytes() == npy(widest)
    assert (out / "at.npy").read_bytes() == npy(np.arange(100))


def test_batches_that_differ_and_are_long_in_coming(out):
    """What was still being made when the elements were asked for again is not taken for the first of them."""
    rows = [torch.full((2, 1 + at), at) for at in range(6)]

    def slow(batch):
        time.sleep(0.1)
        return batch[0]

    arrays = lithify.convert(data.DataLoader(Items(rows), batch_size=1, collate_fn=slow), out, progress=False)
    same(arrays["array"], [row for both in rows for row in both])


@pytest.mark.parametrize("collate", [list, lambda batch: tuple(zip(*batch))])
def test_batches_that_are_no_arrays_are_refused(out, collate):
    items = [(torch.full((2,), at), at) for at in range(8)]
    loader = data.DataLoader(Items(items), batch_size=4, collate_fn=collate)
    with pytest.raises(lithify.RequestError, match="collate_fn") as caught:
        lithify.convert(loader, out, progress=False)
    assert "dataset" in caught.value.hints[0] and os.listdir(out.parent) == []
    if collate is list:
        each = lambda: (element for batch in loader for element in batch)
        convert(each, out, {"0": np.stack([item[0] for item in items]), "1": np.arange(8)})


class Broken(data.Dataset):
    def __init__(self, error):
        self.error = error

    def __len__(self):
        return 40

    def __getitem__(self, at):
        if at == 33:
            raise self.error
        return torch.tensor(at)


class Own(Exception):
    pass


@pytest.mark.parametrize("error", [ValueError("row 33 is broken"), Own("row 33 is broken"), TypeError("row 33 is broken")])
def test_what_a_dataset_raises_is_raised(out, error):
    for source in (Broken(error), data.DataLoader(Broken(error), batch_size=4)):
        with pytest.raises(type(error)) as caught:
            lithify.convert(source, out, progress=False)
        assert caught.value is error
    assert os.listdir(out.parent) == []


def test_what_is_raised_in_a_worker_is_raised(out, collected):
    loader = data.DataLoader(Broken(Own("row 33 is broken")), batch_size=4, num_workers=1)
    with pytest.raises(Own, match="(?s)DataLoader worker process 0.*row 33 is broken"):
        lithify.convert(loader, out, progress=False)
    assert os.listdir(out.parent) == []


# --- What was written, in loaders --------------------------------------------------------------------------------------


@pytest.fixture
def written(out):
    lithify.convert({"x": numbered(64).numpy(), "y": np.arange(64)}, out, progress=False)
    return out


def as_given(batch):
    return batch


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("workers", [0, 2])
def test_rows_in_batches(written, workers):
    dataset = lithify.Dataset(written)
    assert len(dataset) == 64
    batches = list(data.DataLoader(dataset, batch_size=10, num_workers=workers))
    assert torch.equal(torch.cat([batch["x"] for batch in batches]), numbered(64))
    assert torch.equal(torch.cat([batch["y"] for batch in batches]), torch.arange(64))


def test_rows_in_batches_are_shuffled(written):
    batches = list(data.DataLoader(lithify.Dataset(written), batch_size=10, shuffle=True, num_workers=2))
    order = torch.cat([batch["y"] for batch in batches])
    assert sorted(order.tolist()) == list(range(64))
    assert torch.equal(torch.cat([batch["x"] for batch in batches]), numbered(64)[order])


@pytest.mark.filterwarnings("error")
def test_one_feature_is_given_without_its_name(tmp_path):
    lithify.convert(numbered(20).numpy(), tmp_path / "x.npy", progress=False)
    dataset = lithify.Dataset(tmp_path / "x.npy")
    assert np.array_equal(dataset[3], numbered(20)[3].numpy())
    batches = list(data.DataLoader(dataset, batch_size=8))
    assert torch.equal(torch.cat(batches), numbered(20))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_read_all_kinds(out, method):
    items = [
        {"x": row, "name": f"n{at}", "tokens": tokens, "words": [f"w{at}"] * (at % 3)}
        for at, (row, tokens) in enumerate(zip(numbered(50), ragged(50)))
    ]
    lithify.convert(Items(items), out, progress=False)
    dataset = lithify.Dataset(out, features=["x", "name", "tokens", "words"])
    loader = data.DataLoader(dataset, batch_size=7, collate_fn=as_given, num_workers=2, multiprocessing_context=method)
    rows = [row for batch in loader for row in batch]
    assert [row["name"] for row in rows] == [f"n{at}".encode() for at in range(50)]
    assert [row["words"].tolist() for row in rows] == [[word.encode() for word in item["words"]] for item in items]
    same([row["x"] for row in rows], [item["x"] for item in items])
    same([row["tokens"] for row in rows], [item["tokens"] for item in items])


@pytest.mark.parametrize("name", ["tokens", "words"])
def test_ragged_in_workers(out, name):
    items = [{"tokens": tokens, "words": ["w" * at] * (at % 3)} for at, tokens in enumerate(ragged(30))]
    arrays = lithify.convert(Items(items), out, progress=False)
    loader = data.DataLoader(arrays[name], batch_size=None, num_workers=2, collate_fn=as_given)
    rows = [row.tolist() for row in loader]
    wanted = [[word.encode() for word in item[name]] if name == "words" else item[name].tolist() for item in items]
    assert rows == wanted


def test_arrays_are_pickled_as_their_path(written):
    arrays = lithify.open(written)
    assert arrays["x"].shape == (64, 3)
    again = pickle.loads(pickle.dumps(arrays))
    assert set(again) == set(arrays) and np.array_equal(again["x"], numbered(64).numpy())
    assert len(pickle.dumps(arrays)) < 1000


@pytest.mark.parametrize("features", [None, ["x"]])
def test_datasets_are_pickled_as_their_path(tmp_path, features):
    """A worker that is spawned opens the arrays; it is not sent them."""
    lithify.convert({"x": np.zeros((1000, 100)), "y": np.arange(1000)}, tmp_path / "out", progress=False)
    dataset = lithify.Dataset(tmp_path / "out", features=features)
    sent = pickle.dumps(dataset)
    again = pickle.loads(sent)
    assert len(again) == 1000 and list(again.arrays) == list(dataset.arrays)
    assert len(sent) < 2000


def test_ragged_is_pickled_as_its_path(tmp_path):
    items = [torch.arange(1000 + at) for at in range(20)]
    ragged = lithify.convert(Items(items), tmp_path / "out", progress=False)["array"]
    sent = pickle.dumps(ragged)
    same(pickle.loads(sent), items)
    assert len(sent) < 1000


def test_rows_train_a_model(written):
    """The rows of a loader are what PyTorch computes with."""
    loader = data.DataLoader(lithify.Dataset(written, features=["x", "y"]), batch_size=16, shuffle=True)
    model = torch.nn.Linear(3, 1)
    for batch in loader:
        loss = (model(batch["x"]).squeeze(1) - batch["y"].float()).square().mean()
        loss.backward()
    assert model.weight.grad is not None and torch.isfinite(model.weight.grad).all()
