"""What a user means by the name of a dataset, the same in every command."""

from __future__ import annotations

from pathlib import Path

from uad_bench.dataset import Dataset, ReadDataset
from uad_bench.discovery.file_mapping import FileMapping
from uad_bench.discovery.locate import locate, read_folder
from uad_bench.errors import PluginError, UadBenchError
from uad_bench.plugins.registry import Registry, split_dataset


def named_dataset(
    word: str, registry: Registry, mapping: FileMapping | None = None
) -> tuple[Dataset, Path | None]:
    """Return the adapter that is meant, and the folder where the user names one.

    Args:
        word: ``NAME``, to be found in the data root; ``NAME:PATH``; or the folder alone, whose
            layout says which dataset it is, and which is read then.
        registry: the adapters.
        mapping: what the user says of files in BIDS.

    Raises:
        UadBenchError: an unknown name, or a folder in no layout that is known.
    """
    folder = Path(word).expanduser()
    if word not in registry.names("dataset") and folder.is_dir():
        return _adapter(folder, registry, mapping), folder
    if "/" in word.partition(":")[0]:
        raise UadBenchError(f"{word} is no folder; give a dataset's folder, NAME or NAME:PATH")
    name, path = split_dataset(word)
    return _mapped(registry.dataset(name)(), mapping), path


def _mapped(dataset: Dataset, mapping: FileMapping | None) -> Dataset:
    return dataset if mapping is None else dataset.mapped(mapping)


def _adapter(folder: Path, registry: Registry, mapping: FileMapping | None) -> Dataset:
    """What the adapter read whose folder this is by name, else the one that finds most scans."""
    datasets: list[Dataset] = []
    for name in registry.names("dataset"):
        try:
            datasets.append(_mapped(registry.dataset(name)(), mapping))
        except PluginError:
            continue  # `uad-bench list` says why
    inside = []
    for dataset in datasets:
        place = locate(dataset.info, folder)
        if place is not None and place != folder:
            inside.append(f"{dataset.info.name}:{place}")
        elif place is not None and (reading := read_folder(dataset, folder)).scans:
            return ReadDataset(dataset, reading)
    if inside:
        raise UadBenchError(f"{folder} holds datasets; name one: {', '.join(inside)}")
    read = [ReadDataset(dataset, read_folder(dataset, folder)) for dataset in datasets]
    whole = {dataset: _whole(dataset, folder) for dataset in read}
    best = max(read, key=lambda dataset: (whole[dataset], dataset.info.name == "bids"))
    if not whole[best]:
        names = ", ".join(dataset.info.name for dataset in datasets)
        raise UadBenchError(
            f"{folder} holds no scan in the layout of {names}; `uad-bench data --datasets NAME` "
            "shows each"
        )
    return best


def _whole(dataset: Dataset, folder: Path) -> int:
    """How many scans an adapter finds whose FLAIR is there."""
    return sum(scan.flair.is_file() for scan in dataset.read(folder).scans)
