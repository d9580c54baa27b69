"""The file that says which jobs a cluster is asked for: dask-jobqueue's keys, and two more."""

from __future__ import annotations

import inspect
import shlex
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from uad_bench.errors import UadBenchError
from uad_bench.system.yaml_files import read_yaml

if TYPE_CHECKING:
    from dask_jobqueue import JobQueueCluster

Kind = Literal["slurm", "pbs", "lsf"]
_Part = Literal["Job", "Cluster"]
_PARTS: tuple[_Part, ...] = get_args(_Part)

_CLASSES: Mapping[str, str] = {"slurm": "SLURM", "pbs": "PBS", "lsf": "LSF"}
_OURS = ("kind", "workers")
_INTERNAL = {
    *("self", "scheduler", "name", "config_name", "security", "protocol", "loop", "asynchronous"),
    *("n_workers", "silence_logs", "scheduler_cls", "worker_command", "job_kwargs", "job_cls"),
    *("base_class_kwargs", "kwargs", "shared_temp_directory"),
}
"""What dask-jobqueue takes that is not a file's to say."""
_RENAMED = {
    "extra": "worker_extra_args",
    "job_extra": "job_extra_directives",
    "env_extra": "job_script_prologue",
    "header_skip": "job_directives_skip",
    "project": "account",
}
_NO_DAEMON = "export DASK_DISTRIBUTED__WORKER__DAEMON=False"
"""Preparation starts processes of its own, which a daemon may not."""


@dataclass(frozen=True, slots=True)
class ClusterFile:
    """What a cluster is asked for.

    Attributes:
        path: the file.
        kind: the cluster's program.
        workers: how many workers.
        options: what dask-jobqueue is given.
    """

    path: Path
    kind: Kind
    workers: int
    options: Mapping[str, Any]

    @property
    def has_gpus(self) -> bool:
        """Whether each worker is said to have a GPU."""
        return "GPU=" in " ".join(map(str, self.options.get("worker_extra_args", ())))

    def open(self, refused: Callable[[Exception], object], ended: Path) -> JobQueueCluster:
        """Return the cluster, of which nothing runs yet but the scheduler, in this process.

        Args:
            refused: told why a job could not be submitted, which Dask would only log.
            ended: a folder that all machines see, by its absolute path. A job whose script ended
                leaves a file of its name there; dask-jobqueue asks no queue what became of a job.

        Raises:
            UadBenchError: the scheduler does not start, or there can be no folder for logs.
        """
        from distributed.deploy.spec import ProcessInterface

        class SubmittedJob(_class(self.kind, "Job")):  # type: ignore[misc]
            def __init__(self, scheduler: object, name: object, **options: Any) -> None:
                mark = shlex.quote(f"touch {shlex.quote(str(ended / str(name)))}")
                prologue = [f"trap {mark} EXIT", *options.pop("job_script_prologue")]
                super().__init__(scheduler, name, job_script_prologue=prologue, **options)

            async def start(self) -> None:
                try:
                    await super().start()
                except Exception as error:
                    refused(error)
                    await ProcessInterface.start(self)

        try:
            return _class(self.kind, "Cluster")(job_cls=SubmittedJob, **self.options)
        except OSError as error:
            said = " ".join(str(error).split())
            raise UadBenchError(f"{self.path}: no job can be submitted ({said})") from None


def read_cluster_file(path: Path, *, said: str) -> ClusterFile:
    """Read and check a file, without asking the cluster for anything.

    Args:
        path: the file.
        said: how messages name the setting that holds it.

    Raises:
        UadBenchError: naming the file, and all that is wrong in it.
    """
    values = dict(read_yaml(path, said, ", such as `kind: slurm`"))
    kind = values.pop("kind", None)
    known_kind = kind in get_args(Kind)
    problems = list(_faults(kind, values, known_kind))
    workers = values.pop("workers", None)
    if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
        problems.append("workers: say how many, such as `workers: 4`")
    if not problems:
        values = {"processes": 1, **values}
        prologue = values.get("job_script_prologue") or []
        values["job_script_prologue"] = [_NO_DAEMON, *prologue]
        if (logs := values.get("log_directory")) is not None:
            try:  # no shell reads it
                values["log_directory"] = str(Path(logs).expanduser())
            except RuntimeError:
                problems.append(f"log_directory {logs}: there is no such home folder")
        problems += _refused(kind, values)
    if problems:
        raise UadBenchError(f"{said} {path}: {'; '.join(problems)}")
    assert isinstance(workers, int)
    return ClusterFile(path, kind, workers, values)


def _faults(kind: object, values: Mapping[str, object], known_kind: bool) -> Iterator[str]:
    """Yield what is wrong with the kind and the keys."""
    if not known_kind:
        said = "" if kind is None else f" {kind}"
        yield f"kind{said}: write one of {', '.join(get_args(Kind))}"
        return
    known = _keys(str(kind))
    for key in values:
        if key in _RENAMED:
            yield f"{key}: dask-jobqueue calls it {_RENAMED[key]} now"
        elif key not in known and key not in _OURS:
            near = get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(known))}"
            yield f"{key}: unknown; {hint}"
    for key, example in (("cores", "8"), ("memory", "32GB")):
        if values.get(key) is None:
            yield f"{key} of each job is needed, such as `{key}: {example}`"
    for key in ("job_extra_directives", "worker_extra_args", "job_script_prologue"):
        if not isinstance(values.get(key, []), list):
            yield f"{key}: write a list, with one item per line"
    if not isinstance(values.get("log_directory") or "", str):
        yield "log_directory: write the path of a folder"
    command = _class(str(kind), "Job").submit_command.split()[0]
    if shutil.which(command) is None:
        yield f"{command} is not there: start the run where jobs can be submitted"


def _keys(kind: str) -> set[str]:
    """The keys that dask-jobqueue takes."""
    return {name for what in _PARTS for name in _taken(_class(kind, what))}


def _refused(kind: str, values: Mapping[str, Any]) -> Iterator[str]:
    """Yield what dask-jobqueue says of values that it cannot use, with their keys.

    It makes the folder of logs where it is given one, and nothing may be made here.
    """
    job = _class(kind, "Job")
    tested = _taken(job) - {"log_directory"}
    of_job = {key: value for key, value in values.items() if key in tested}
    good = {"cores": 1, "memory": "1GB", "processes": 1}
    tried = {f"{key}: ": {**good, key: value} for key, value in of_job.items()}
    found = [f"{said}{fault}" for said, some in tried.items() if (fault := _fault(job, some))]
    yield from found or filter(None, [_fault(job, of_job)])


def _fault(job: Any, values: Mapping[str, Any]) -> str:
    """What keeps a job from being made, in one line; empty where nothing does."""
    import dask

    no_logs = {f"jobqueue.{job.default_config_name()}.log-directory": None}  # of the user's Dask
    try:
        with dask.config.set(no_logs):
            job(scheduler="tcp://checked:1", name="checked", **values)
    except Exception as error:  # whatever dask-jobqueue makes of a value
        return " ".join(str(error).split()) or type(error).__name__
    return ""


def _taken(one: Any) -> set[str]:
    """The keys that a class of dask-jobqueue takes."""
    parents = one.__mro__
    made = [parent.__init__ for parent in parents if parent.__module__.startswith("dask_jobqueue")]
    names = {name for one in made for name in inspect.signature(one).parameters}
    return names - _INTERNAL - set(_RENAMED)


def _class(kind: str, what: _Part) -> Any:
    before = signal.getsignal(signal.SIGINT)
    module = import_module(f"dask_jobqueue.{kind}")
    signal.signal(signal.SIGINT, before)  # with its own, Ctrl-C ends the run without a word
    return getattr(module, f"{_CLASSES[kind]}{what}")
