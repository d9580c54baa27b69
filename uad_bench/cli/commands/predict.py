"""``uad-bench predict``: anomaly map, mask and picture of scans."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from uad_bench.cli.options import Given, takes
from uad_bench.cli.streams import echo
from uad_bench.errors import ScanError, UadBenchError
from uad_bench.front.progress import LiveProgress
from uad_bench.runner.settings import (
    DataSettings,
    StoreSettings,
    TrainingSettings,
    TuningSettings,
)

if TYPE_CHECKING:
    from uad_bench.front.detector import Detector

_OF_A_FOLDER = {"device", "plugin", "template", "cache"}
"""The settings that have a meaning for a detector that is trained."""
_NO_SCAN = re.compile(
    r"(^|[_.-])(d?seg|gt|mask|brainmask|lesions?|labels?|roi|probseg|t1w?|t2w?)\b"
)
"""Words in a name that say that a file is no FLAIR; ``_`` ends a word too."""


@takes(DataSettings, TrainingSettings, TuningSettings, StoreSettings, "device", "results")
def predict(
    given: Given,
    scans: Annotated[
        list[Path], typer.Argument(help="FLAIR volumes as NIfTI, or folders of them.")
    ],
    out: Annotated[
        Path,
        typer.Option("-o", "--out", help="MAP.nii.gz; a folder where there are several scans."),
    ],
    detector: Annotated[
        Path | None,
        typer.Option(
            "-d",
            "--detector",
            help="A detector: a folder, as in results/detectors, or zip.",
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option("-m", "--method", help="The detector that `run` would train of this method."),
    ] = None,
    postprocessing: Annotated[
        str, typer.Option(help="How a residual becomes the map, such as star or star+erode=2.")
    ] = "none",
    brain: Annotated[
        Path | None, typer.Option(help="A brain mask of the scan, where there is one.")
    ] = None,
) -> None:
    """Score scans: anomaly map, mask, reconstruction and a PNG, on each scan's own voxels.

    Raw scans are prepared on the way. With -m the detector is trained, or taken from --results
    where a run with the same settings trained it.
    """
    if (detector is None) == (method is None):
        raise UadBenchError("predict: give a detector's folder (-d) or a method (-m), one of them")
    if "," in postprocessing:
        raise UadBenchError(
            f"--postprocessing {postprocessing}: a map has one post-processing; name one, or chain "
            "them with + instead of commas"
        )
    orders = list(_orders(scans, out))
    if brain is not None and len(orders) > 1:
        raise UadBenchError("--brain: one mask for several scans; predict them one by one")
    _refuse_unwritable(orders, out)
    messages = Console(stderr=True)
    # Heavy imports wait until the options are known to be right.
    from uad_bench.front.detector import load_detector, train_detector
    from uad_bench.runner.config import load_config, load_settings

    if detector is not None:
        # The data root may come from the environment.
        if other := sorted(given.keys() - _OF_A_FOLDER - {"data_root"}):
            flag = f"--{other[0].replace('_', '-')}"
            raise UadBenchError(f"{flag}: is for -m; the detector in {detector} is trained already")
        chosen = load_settings(given)
        used = load_detector(
            detector, device=chosen.device, plugin=chosen.plugin, template=chosen.template
        )
    else:
        chosen = load_config(None, {**given, "methods": method, "postprocessing": postprocessing})
        if len(chosen.methods) > 1:
            raise UadBenchError(f"-m {method}: a map is of one detector; give one method")
        if len(chosen.seeds) > 1:
            raise UadBenchError("--seeds: a map is of one detector; give one seed")
        with LiveProgress(messages) as progress:
            used = train_detector(chosen, progress)
    failed = 0
    for scan, file in orders:
        try:
            _predict_one(used, scan, file, brain, postprocessing, chosen.cache, messages)
        except ScanError as error:
            if len(orders) == 1:
                raise
            failed += 1
            messages.print(f"left out: {error}", highlight=False, markup=False, soft_wrap=True)
    if failed:
        raise UadBenchError(f"{failed} of {len(orders)} scans could not be used; see above")


def _predict_one(
    detector: Detector,
    scan: Path,
    file: Path,
    brain: Path | None,
    postprocessing: str,
    cache: Path | None,
    messages: Console,
) -> None:
    """Score one scan, write everything, and say what was written."""
    from uad_bench.front.prediction import split_ending
    from uad_bench.system.disk import write_whole

    with LiveProgress(messages) as progress:
        progress.busy(f"score {scan.name} (stripping and registering a raw scan takes minutes)")
        found = detector.predict(scan, brain=brain, postprocessing=postprocessing, cache=cache)
    for text in found.warnings:
        line = f"warning: {scan}: {text}"
        messages.print(line, style="red", highlight=False, markup=False, soft_wrap=True)
    written = found.save(file)
    picture = file.with_name(f"{split_ending(file)[0]}.png")
    write_whole(picture, found.picture())
    mark = ", trained on simulated brains" if found.detector_simulated else ""
    name = f"{scan} (simulated)" if found.scan_simulated else f"{scan}"
    mask = (
        f"no mask: the detector has no threshold for {postprocessing}"
        if found.mask is None
        else f"{found.volume_ml:.2f} ml reach the threshold {found.threshold:.3f}"
    )
    echo(f"{name}: {mask} ({found.detector}{mark})")
    for path in (*written, picture):
        echo(f"  {path}")


def _orders(scans: list[Path], out: Path) -> Iterator[tuple[Path, Path]]:
    """Yield each scan with the file of its map.

    Raises:
        UadBenchError: a path that is not there, a folder without scans, or a name that is no
            NIfTI file's.
    """
    from uad_bench.front.prediction import split_ending

    found: dict[Path, None] = {}
    for path in scans:
        if path.is_dir():
            inside = _scans_in(path)
            if not inside:
                raise UadBenchError(f"{path}: no FLAIR as .nii or .nii.gz in this folder")
            found.update(dict.fromkeys(inside))
        elif path.exists():
            split_ending(path)
            found[path] = None
        else:
            raise UadBenchError(f"{path}: no such file")
    if len(found) == 1 and not scans[0].is_dir():
        split_ending(out)
        yield scans[0], out
        return
    if out.is_file() or out.name.lower().endswith((".nii", ".nii.gz")):
        raise UadBenchError(f"-o {out}: a file for several scans; name a folder")
    root = Path(os.path.commonpath([path.absolute().parent for path in found]))
    for path in found:
        yield path, out / path.absolute().relative_to(root)


def _scans_in(folder: Path) -> list[Path]:
    """The FLAIR volumes below a folder; those that are named so, where any is."""
    files = [*folder.rglob("*.nii"), *folder.rglob("*.nii.gz")]
    volumes = sorted(
        path
        for path in files
        if path.is_file() and not _NO_SCAN.search(path.name.lower().replace("_", "-"))
    )
    named = [path for path in volumes if "flair" in path.name.lower()]
    return named or volumes


def _refuse_unwritable(orders: list[tuple[Path, Path]], out: Path) -> None:
    """Refuse, before any work, what cannot be written or would replace a scan.

    Raises:
        UadBenchError: naming the file.
    """
    from uad_bench.runner.data.readiness import refuse, unwritable

    scans = {scan.resolve() for scan, _ in orders}
    problems = [f"-o {file}: is a folder; name a file" for _, file in orders if file.is_dir()]
    problems += [
        f"-o {file}: would replace a scan; name another place"
        for _, file in orders
        if file.resolve() in scans
    ]
    folder = out.parent if len(orders) == 1 and orders[0][1] == out else out
    refuse([*problems, *unwritable("-o", folder)])
