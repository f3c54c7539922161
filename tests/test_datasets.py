"""Data in the forms that people have it: the same batches, and digests that cost one reading."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from paretune import Data, Split
from paretune.runners.workload.data import Dataset, first_batch
from paretune.runners.workload.datasets import arrays, known_digests
from paretune.runners.workload.datasets.generated import Generated
from paretune.runners.workload.datasets.indexed import Subset
from paretune.runners.workload.datasets.stored_targets import read_targets, write_targets
from paretune.runners.workload.datasets.torch_data import TorchData
from paretune.runners.workload.datasets.written import chosen_rows, write_samples
from paretune.runners.workload.outputs import named_outputs, stored_outputs
from paretune.spaces import WorkloadError

INPUTS = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
TARGETS = np.arange(20) % 4


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def pairs() -> Iterator[tuple[NDArray[Any], int]]:
    for sample, target in zip(INPUTS, TARGETS, strict=True):
        yield sample, int(target)


def mapped(folder: Path) -> Split:
    np.save(folder / "inputs.npy", INPUTS)
    return Split(np.load(folder / "inputs.npy", mmap_mode="r"), TARGETS)


def hugging_face(folder: Path) -> Any:
    datasets = pytest.importorskip("datasets")
    from paretune.runners.workload.datasets.hugging_face import HuggingFaceData

    rows = {"input": INPUTS.tolist(), "label": TARGETS.tolist(), "text": ["a"] * 20}
    made = datasets.Dataset.from_dict(rows)
    return HuggingFaceData(made.cast_column("input", datasets.List(datasets.Value("float32"))))


FORMS: dict[str, Callable[[Path], Any]] = {
    "arrays": lambda folder: Split(INPUTS, TARGETS),
    "memory-mapped": mapped,
    "torch-dataset": lambda folder: TorchData(
        TensorDataset(torch.tensor(INPUTS), torch.tensor(TARGETS))
    ),
    "torch-loader": lambda folder: TorchData(
        DataLoader(
            TensorDataset(torch.tensor(INPUTS), torch.tensor(TARGETS)),
            batch_size=3,
            shuffle=True,
            num_workers=2,
        ),
        version="1",
    ),
    "hugging-face": hugging_face,
    "generated": lambda folder: Generated(pairs, 20),
    "rows": lambda folder: Subset(Split(INPUTS[::-1], TARGETS[::-1]), np.arange(20)[::-1]),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_batches(form: str, tmp_path: Path) -> None:
    data: Dataset = FORMS[form](tmp_path)
    assert len(data) == 20 and data.input_names == ("input",)
    batches = list(data.batches(8))
    assert [len(batch.targets) for batch in batches] == [8, 8, 4]
    for batch in batches:
        assert batch.inputs["input"].dtype == np.float32
    together = np.concatenate([batch.inputs["input"] for batch in batches])
    np.testing.assert_array_equal(together, INPUTS)
    np.testing.assert_array_equal(np.concatenate([b.targets for b in batches]), TARGETS)
    rows = np.array([7, 2, 2, 19])
    for batch in (next(iter(data.batches(4, rows))), first_batch(data.take(rows), 9)):
        np.testing.assert_array_equal(batch.inputs["input"], INPUTS[rows])
        np.testing.assert_array_equal(batch.targets, TARGETS[rows])
    assert data.digest == FORMS[form](tmp_path).digest
    assert data.take(rows).digest != data.digest


def test_datasets_and_loaders_of_others_are_taken_as_they_are(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    whole = TensorDataset(torch.tensor(INPUTS), torch.tensor(TARGETS))
    named = datasets.Dataset.from_dict({"x": INPUTS.tolist(), "labels": TARGETS.tolist()})
    data = Data(whole, DataLoader(whole), Split(INPUTS, TARGETS), named)
    assert [len(each) for each in (data.train, data.calibration, data.test)] == [20, 20, 20]
    assert data.test.input_names == ("x",)
    assert len(data.digest) == 64
    with pytest.raises(WorkloadError, match=r"test split must be a paretune\.Split.*got list"):
        Data(whole, whole, whole, [1, 2])
    with pytest.raises(WorkloadError, match="the train split has no sample"):
        Data(TensorDataset(torch.zeros(0, 3), torch.zeros(0)), whole, whole, whole)
    with pytest.raises(WorkloadError, match=r"use paretune\.Generated"):
        Data(Endless(), whole, whole, whole)


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter(())


class Noisy(torch.utils.data.Dataset[Any]):
    """Augments at random."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, row: int) -> tuple[Any, int]:
        return torch.randn(3) + row, row


def test_augmentation_has_a_digest_but_not_what_no_seed_repeats() -> None:
    one, other = TorchData(Noisy()), TorchData(DataLoader(Noisy(), num_workers=2))
    assert one.digest == other.digest
    state = torch.random.get_rng_state()
    first = next(iter(one.batches(10))).inputs["input"]
    assert not np.array_equal(first, next(iter(one.batches(10))).inputs["input"])
    assert not torch.equal(state, torch.random.get_rng_state())

    def drifting() -> Iterator[tuple[Any, int]]:
        yield np.array([time.time_ns()]), 0

    with pytest.raises(WorkloadError, match="give it a `version`"):
        _ = Generated(drifting, 1).digest
    assert Generated(drifting, 1, version="1").digest != Generated(drifting, 1, version="2").digest


def test_batches_that_are_mappings_give_names(tmp_path: Path) -> None:
    rows = [{"ids": torch.arange(4) + i, "mask": torch.ones(4), "labels": i} for i in range(6)]
    data = TorchData(rows)
    assert data.input_names == ("ids", "mask")
    batch = next(iter(data.batches(3, np.array([5, 0]))))
    assert batch.inputs["ids"][:, 0].tolist() == [5, 0] and batch.targets.tolist() == [5, 0]
    with pytest.raises(WorkloadError, match="no targets: name them"):
        next(iter(TorchData([{"ids": torch.arange(4)}]).batches(1)))
    uneven = Generated(lambda: iter([(np.ones(2), 0), (np.ones(3), 1)]), 2)
    with pytest.raises(WorkloadError, match="different shapes in 'input'"):
        next(uneven.batches(2))


def test_a_generator_that_ends_early_is_told() -> None:
    with pytest.raises(WorkloadError, match="ended before sample 20 of 30"):
        list(Generated(pairs, 30).batches(8))


def test_named_inputs_and_targets_of_a_split() -> None:
    split = Split({"ids": INPUTS, "mask": INPUTS > 0}, {"start": TARGETS, "end": TARGETS + 1})
    batch = next(iter(split.batches(4, np.array([3, 1]))))
    assert split.input_names == ("ids", "mask")
    assert batch.targets["end"].tolist() == [4, 2]
    assert split.take(np.array([3, 1])).digest != split.digest
    with pytest.raises(WorkloadError, match="leave out further_inputs"):
        Split({"ids": INPUTS}, TARGETS, (INPUTS,))
    with pytest.raises(WorkloadError, match=r"'ids' of a split must be a numpy array; got list"):
        Split({"ids": [1, 2]}, TARGETS)


def test_views_are_made_plain_for_torch() -> None:
    """Case 45: negative strides and foreign byte order ended in torch's errors."""
    flipped = Split(INPUTS[:, ::-1], TARGETS.astype(">i4"))
    batch = first_batch(flipped, 4)
    assert torch.from_numpy(batch.inputs["input"])[0, 0] == INPUTS[0, 2]
    assert torch.from_numpy(batch.targets).tolist() == [0, 1, 2, 3]
    same = Split(INPUTS[:, ::-1].copy(), TARGETS.astype("<i4"))
    assert flipped.digest == same.digest


def test_a_file_that_has_not_changed_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split, file = mapped(tmp_path), tmp_path / "inputs.npy"
    old = time.time_ns() - 10**10
    os.utime(file, ns=(old, old))
    monkeypatch.setattr(known_digests, "_SETTLED_NS", 0)
    in_memory = Split(INPUTS, TARGETS)
    reads: list[int] = []
    parts = arrays.parts

    def counted(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
        reads.append(array.nbytes)
        return parts(array)

    monkeypatch.setattr(arrays, "parts", counted)
    assert split.digest == in_memory.digest  # where the bytes are makes no difference
    before = reads.count(INPUTS.nbytes)
    again = Split(np.load(file, mmap_mode="r"), TARGETS)
    assert again.digest == split.digest and reads.count(INPUTS.nbytes) == before
    part = Split(np.load(file, mmap_mode="r")[4:8], TARGETS[4:8])
    assert part.digest == Split(INPUTS[4:8], TARGETS[4:8]).digest
    changed = np.load(file, mmap_mode="r+")
    changed[0, 0] += 1
    changed.flush()
    assert Split(np.load(file, mmap_mode="r"), TARGETS).digest != split.digest


def test_nan_in_a_mapped_file_is_found_when_it_is_hashed(tmp_path: Path) -> None:
    bad = INPUTS.copy()
    bad[7, 1] = np.nan
    np.save(tmp_path / "bad.npy", bad)
    with pytest.raises(WorkloadError, match=r"NaN or infinity \('inputs'\)"):
        _ = Split(np.load(tmp_path / "bad.npy", mmap_mode="r"), TARGETS).digest
    with pytest.raises(WorkloadError, match="NaN"):
        Split(bad, TARGETS)


def test_pictures_in_folders(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    from paretune.runners.workload.datasets.image_folder import ImageFolder

    for name, value in (("cat", 0), ("dog", 255)):
        (tmp_path / name).mkdir()
        for place in range(3):
            image.new("RGB", (12, 8), (value, place, 0)).save(tmp_path / name / f"{place}.png")
    data = ImageFolder(tmp_path, size=4)
    assert data.classes == ["cat", "dog"] and data.labels.tolist() == [0, 0, 0, 1, 1, 1]
    batch = first_batch(data, 6)
    assert batch.inputs["input"].shape == (6, 3, 4, 4) and batch.inputs["input"].max() == 1.0
    assert batch.targets.tolist() == [0, 0, 0, 1, 1, 1]
    part = data.take(np.array([0, 3]))
    digest = part.digest
    image.new("RGB", (12, 8)).save(tmp_path / "cat" / "9.png")
    more = ImageFolder(tmp_path, size=4)
    assert more.digest != data.digest
    assert more.take(np.array([0, 4])).digest == digest  # the new one is not in this split
    flipped = data.with_transform(lambda picture: np.asarray(picture, np.float32)[::-1], "flip")
    assert first_batch(flipped, 1).inputs["input"].shape == (1, 8, 12, 3)
    assert flipped.digest != data.digest


def test_a_split_is_written_in_one_pass(tmp_path: Path) -> None:
    split = Split({"a": INPUTS, "b": INPUTS[:, :1]}, TARGETS)
    rows = chosen_rows(20, 5)
    assert rows is not None and len(set(rows)) == 5 and sorted(rows) == rows.tolist()
    assert rows.max() > 10 and chosen_rows(20, 30) is None
    files = write_samples(split, tmp_path, rows)
    np.testing.assert_array_equal(np.load(files.inputs["a"]), INPUTS[rows])
    np.testing.assert_array_equal(np.load(files.inputs["b"]), INPUTS[rows, :1])
    assert [each.tolist() for each in read_targets(files.targets)] == [TARGETS[rows].tolist()]


def test_targets_of_any_form_come_back(tmp_path: Path) -> None:
    given = [
        [{"boxes": np.ones((2, 4)), "labels": np.array([1, 2])}, {"boxes": np.ones((0, 4))}],
        {"text": ["a", "ü"], "start": np.arange(2), "none": None, "share": 0.5},
        np.array(["one", "two"]),
    ]
    with (tmp_path / "targets").open("wb") as stream:
        for each in given:
            write_targets(stream, each)
        with pytest.raises(WorkloadError, match="got set"):
            write_targets(stream, {1, 2})
    found = list(read_targets(tmp_path / "targets"))
    assert str(found) == str(given)


def test_outputs_have_names_whatever_a_model_returns() -> None:
    from collections import OrderedDict, namedtuple

    one, two = np.zeros(1), np.ones(2)
    pair = namedtuple("pair", "logits aux")
    cases: list[tuple[Any, list[str]]] = [
        (one, ["output"]),
        ((one, two), ["output", "output_1"]),
        ([one, (two, one)], ["output", "output_1", "output_2"]),
        ({"a": one, "b": (one, two), "c": {"d": one}}, ["a", "b", "b_1", "c_d"]),
        (OrderedDict(loss=None, logits=one), ["logits"]),
        (pair(one, None), ["logits"]),
        ([{"boxes": one, "scores": two}], ["boxes", "scores"]),
    ]
    for value, names in cases:
        assert list(named_outputs(value)) == names
    with pytest.raises(WorkloadError, match="without a tensor in it"):
        named_outputs({"cache": object()})
    with pytest.raises(WorkloadError, match="two outputs of the model are called 'b_1'"):
        named_outputs({"b_1": one, "b": (one, two)})


def test_outputs_are_read_batch_by_batch(tmp_path: Path) -> None:
    (tmp_path / "names.json").write_text(json.dumps(["a", "b"]))
    with (tmp_path / "0.npy").open("wb") as first, (tmp_path / "1.npy").open("wb") as second:
        for size in (2, 1):
            np.save(first, np.ones((size, 3)))
            np.save(second, np.zeros(size))
    assert [batch["a"].shape for batch in stored_outputs(tmp_path)] == [(2, 3), (1, 3)]
    assert list(next(stored_outputs(tmp_path, ["x", "y"]))) == ["x", "y"]


def test_a_generator_is_shuffled_within_a_window_in_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from paretune import Recipe
    from paretune.runners.workload.learning import training

    monkeypatch.setattr(training, "_WINDOW", 6)
    for data in (Generated(pairs, 20), Subset(Generated(pairs, 20), np.arange(20))):
        seeded = torch.Generator().manual_seed(0)
        batches = training._batches(data, Recipe(batch_size=4), seeded, torch.device("cpu"))
        places = torch.cat([rows for _, _, rows in batches]).tolist()
        assert sorted(places) == list(range(20)) and places != sorted(places)
        assert all(place // 6 == at // 6 for at, place in enumerate(places))
