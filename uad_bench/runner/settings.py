"""The settings of a run in groups: what each is, means and may be, said once.

Flags, their help, YAML keys and Python arguments are made from these models. A command takes the
groups that it needs.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from uad_bench.cells import EvaluationSpace
from uad_bench.plugins.registry import PLUGINS_HELP
from uad_bench.study_record import USUAL_TRIALS, Objective, SamplerName

Overwrite = Literal["never", "missing", "failed", "all"]


def _split(value: Any) -> Any:
    """Accept ``a,b`` where a list is meant."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return (value,) if isinstance(value, int | Path) else value


def _none(value: Any) -> Any:
    """Accept ``none`` where an empty list is meant."""
    return () if value == "none" else value


def _once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Each item once, so that a seed named twice is not two trainings."""
    return tuple(dict.fromkeys(values))


def _no_switch(value: Any) -> Any:
    """Refuse ``yes`` and ``true``, which Python would count as 1."""
    if isinstance(value, bool):
        raise ValueError("must be a number, not a switch such as yes, no, true or false")
    return value


def _at_home(path: Path) -> Path:
    """Expand ``~``, which no shell does inside a file."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(f"{path}: there is no such home folder") from None


def _texts_at_home(values: dict[str, Any]) -> dict[str, Any]:
    """Expand ``~`` in parameters that name a file."""
    return {
        key: str(_at_home(Path(value)))
        if isinstance(value, str) and value.startswith("~")
        else value
        for key, value in values.items()
    }


def _scheduler(address: str | None) -> str | None:
    """Refuse what is no address of a scheduler."""
    if address is not None and not re.fullmatch(r"(tcp|tls)://[^/\s]+:[0-9]+", address):
        raise ValueError("write tcp://HOST:PORT, as `dask scheduler` prints it")
    return address


_Int = Annotated[int, BeforeValidator(_no_switch)]
_Float = Annotated[float, BeforeValidator(_no_switch)]
_List = (BeforeValidator(_split), AfterValidator(_once))
_Names = Annotated[tuple[str, ...], *_List]
_UserPath = Annotated[Path, AfterValidator(_at_home)]


class Settings(BaseModel):
    """Some settings. A text below a field describes it, in Python and in the help of commands."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=lambda name: name.replace("_", "-"),
        populate_by_name=True,
        use_attribute_docstrings=True,
        defer_build=True,
    )

    heading: ClassVar[str] = ""
    """What the help of a command calls the group."""


class MethodSettings(Settings):
    """Which methods a run is of."""

    heading = "Training"

    methods: _Names = Field(min_length=1)
    """Methods, such as spa,gmvae."""


class DatasetSettings(Settings):
    """Which datasets a command is about."""

    heading = "Data"

    datasets: _Names = Field(default=("all",), min_length=1)
    """Datasets, such as mslub,bids:PATH: each a NAME, NAME:PATH or a folder; or all."""


class FileSettings(Settings):
    """Where the files of datasets are, and which are masks."""

    heading = "Data"

    data_root: _UserPath | None = None
    """Folder with the real datasets; without it, a run simulates them."""

    lesion_pattern: str | None = None
    """Files of BIDS datasets that are lesion masks though their names do not say it: a pattern such
    as '*_msk.nii.gz', or a YAML file of patterns of masks and FLAIR volumes."""

    plugin: Annotated[tuple[_UserPath, ...], *_List] = Field((), description=PLUGINS_HELP)


class PreparationSettings(FileSettings):
    """How scans become slices."""

    recipe: str = "median"
    """Preparation: median, paper, or a YAML file."""

    template: _UserPath | None = None
    """Folder of the SRI24 template, to register raw scans to it instead of to MNI152."""

    tissues: str | None = None
    """Tissue maps of healthy scans: atropos, or a YAML file that says where they are; the dataset's
    own if not given."""

    mask_shift: _Float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """How many mm a mask's header may be off its FLAIR; such a mask is laid voxel on voxel, and
    tables say so."""

    limit: _Int | None = Field(default=None, ge=1)
    """At most this many subjects per dataset and split."""


class DataSettings(PreparationSettings):
    """What detectors learn from, and what is simulated."""

    train: str = "hi"
    """Healthy dataset to learn from, such as hi or bids:PATH; simulated if not found."""

    phantoms: _Int = Field(default=3, ge=1)
    """Simulated patients per dataset; healthy people are four times as many."""

    anatomies: _UserPath | None = None
    """Folder of label maps to simulate from, instead of the template."""


class TrainingSettings(Settings):
    """How detectors are trained."""

    heading = "Training"

    preset: str | None = None
    """Parameters of each method that has this preset, such as paper."""

    param: Annotated[dict[str, Any], AfterValidator(_texts_at_home)] = Field(default_factory=dict)
    """A parameter by METHOD.NAME, as spa.beta=1e-4; wins over the preset."""

    seeds: Annotated[tuple[Annotated[_Int, Field(ge=0, lt=2**32)], ...], *_List] = Field(
        (0,), min_length=1
    )
    """Training seeds, such as 0,1,2: one training for each."""

    supervised_on: _Names = ()
    """Datasets whose lesion masks supervised methods learn from, such as wmh,brats, or all with
    masks: a training on a part of each, which is then not tested."""

    atlas: _UserPath | None = None
    """Tissue prior from `atlas build`; that of the training dataset if not given."""


class TuningSettings(Settings):
    """How methods are tuned before they are trained."""

    heading = "Training"

    tune: bool = True
    """Tune the parameters that a method names, on healthy scans."""

    trials: _Int | None = Field(default=None, ge=1)
    """Tuning trials per method; if not given, 3, or every point of a grid."""

    objective: Objective = "painted"
    """What trials are compared by, on healthy scans: how well lesions painted into them are found,
    the method's own reconstruction error (and KL), or SSIM (and KL)."""

    sampler: SamplerName = "tpe"
    """How trials are drawn: Optuna's TPE, every point of a grid over the search ranges, or at
    random."""

    storage: SecretStr | None = None
    """Address of a database that a team tunes in, such as sqlite:///FILE or
    postgresql://HOST/NAME; files of the results folder if not given."""

    @property
    def trials_in_words(self) -> str:
        """How many trials each method gets."""
        whole_grid = self.sampler == "grid" and self.trials is None
        return "a grid" if whole_grid else str(self.trials or USUAL_TRIALS)


class EvaluationSettings(Settings):
    """What is measured of anomaly maps."""

    heading = "Evaluation"

    protocol: _Names = Field(("strict",), min_length=1)
    """Protocols, such as strict,paper."""

    postprocessing: _Names = Field(("none", "star"), min_length=1)
    """Post-processings of anomaly maps, such as none,median3d=3; + chains them: star+erode=2."""

    space: EvaluationSpace = "template"
    """Voxels that are scored: the template grid's, or each scan's own."""


class ComparisonSettings(EvaluationSettings):
    """What methods are compared with."""

    controls: Annotated[_Names | None, BeforeValidator(_none)] = None
    """Controls in every table, or none; those that `list` shows as standing beside methods if not
    given."""


class StoreSettings(Settings):
    """Where prepared datasets are kept, and who makes them."""

    heading = "Where it runs"

    cache: _UserPath | None = None
    """Folder of phantoms and prepared datasets, shared between runs; in the user's cache if not
    given."""

    jobs: _Int | None = Field(default=None, ge=1)
    """Processes for simulation and preparation; if not given, one per core that memory holds. Given
    to `run`, `sweep` or `tune`, that many also tune, train and evaluate at once, if not given
    one."""


class WhereSettings(StoreSettings):
    """Where detectors are trained, and where results go."""

    scheduler: Annotated[str | None, AfterValidator(_scheduler)] = None
    """Address of a Dask scheduler whose workers do all jobs, such as tcp://node1:8786."""

    cluster: _UserPath | None = None
    """YAML file that says which jobs to ask a SLURM, PBS or LSF cluster for, which do the work."""

    device: str = "auto"
    """Torch device: cpu, cuda, cuda:1, or auto."""

    results: _UserPath = Path("results")
    """Folder for everything that is written."""

    overwrite: Overwrite = "missing"
    """Which cells are computed again, such as failed or all."""

    mlflow: bool = True
    """Send cells to MLflow."""


OF_MAPS = (
    *DataSettings.model_fields,
    *EvaluationSettings.model_fields,
    *StoreSettings.model_fields,
    "results",
    "overwrite",
)
"""The settings of a run that have a meaning for maps of another program."""

OF_TUNING = (
    *DataSettings.model_fields,
    *TrainingSettings.model_fields,
    *(name for name in TuningSettings.model_fields if name != "tune"),
    *StoreSettings.model_fields,
    "methods",
    "scheduler",
    "cluster",
    "device",
    "results",
    "overwrite",
)
"""The settings of a run that have a meaning where it only tunes."""

OF_SWEEPS = (
    *DataSettings.model_fields,
    *TrainingSettings.model_fields,
    *StoreSettings.model_fields,
    "scheduler",
    "cluster",
    "device",
    "results",
)
"""The settings of a run that have a meaning for a sweep."""

OF_MACHINE = (
    "data_root",
    "datasets",
    "train",
    "supervised_on",
    "lesion_pattern",
    "tissues",
    "template",
    "anatomies",
    "atlas",
    "plugin",
    "param",
    "cache",
    "jobs",
    "device",
)
"""The settings of a run that differ from machine to machine: where files are, and what runs."""


def heading(model: type[Settings], name: str) -> str:
    """Return what the help of a command calls the group that brought a setting into a model."""
    bases = (base for base in reversed(model.__mro__) if issubclass(base, Settings))
    return next(base.heading for base in bases if name in base.model_fields)


def meaning(field: FieldInfo) -> str:
    """Return what a setting means, in one line."""
    return " ".join((field.description or "").split())


def default(field: FieldInfo) -> str:
    """Return a setting's default as a user would write it; empty where nothing is set."""
    value = field.default
    if field.is_required() or value is None or value is PydanticUndefined:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
