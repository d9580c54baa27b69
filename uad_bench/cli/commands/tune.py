"""``uad-bench tune``: choose parameters on healthy validation scans."""

from __future__ import annotations

import typer

from uad_bench.cli.interruption import interrupted
from uad_bench.cli.options import ConfigFile, Given, takes
from uad_bench.cli.streams import echo
from uad_bench.runner.config import load_config
from uad_bench.runner.settings import OF_TUNING


@takes(*OF_TUNING)
def tune(given: Given, config: ConfigFile = None) -> None:
    """Choose the tunable parameters of methods on healthy validation scans.

    A run with the same settings and results folder takes what is found. Trials that ended are
    kept: the same command goes on where an interrupted one stopped. No lesion is seen.

    With --jobs, --scheduler or --cluster several methods are tuned at once. The trials of one
    method follow one another, because each is drawn from those before it.
    """
    from rich.console import Console

    from uad_bench.front.progress import LiveProgress
    from uad_bench.front.tuning import TUNING_PAGE, search

    settings = load_config(config, {**given, "tune": True})
    messages = Console(stderr=True, markup=False)
    try:
        with LiveProgress(messages) as progress:
            found = search(settings, (progress,))
    except KeyboardInterrupt:
        raise interrupted(messages, "trials that ended are kept") from None
    for study in found.done:
        echo("\n".join(study.lines()))
    if found.done:
        page = settings.results / TUNING_PAGE
        messages.print(f"{page} shows every trial", highlight=False, soft_wrap=True)
    if found.failed:
        for line in found.failed:
            messages.print(line, style="red", highlight=False, soft_wrap=True, markup=False)
        raise typer.Exit(1)
