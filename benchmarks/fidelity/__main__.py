"""The fidelity study: pack its data, measure its arms, write ``docs/studies/fidelity.md``.

    python benchmarks/fidelity pack STUDY.npz --anatomies DIR --data-root DIR [--lesion-free DIR]
    python benchmarks/fidelity run STUDY.npz RESULTS --size small --seeds 0,1,2
    python benchmarks/fidelity page STUDY.npz RESULTS [--anatomies DIR] [--again PACK RESULTS]

``run`` needs the package, torch and the packed file. It goes on where it was cut short, and several
of them may work into one results folder at the same time.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))

from arms import ARMS, SIZES, Arm
from measure import measure
from pack import Pack, make_pack, read_pack
from page import write_page
from records import read_study

from uad_bench.errors import UadBenchError
from uad_bench.system.locks import HeldError, held


def main() -> None:
    """Parse the command line and do one of the three."""
    parser = argparse.ArgumentParser(
        prog="fidelity", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    _pack_options(commands.add_parser("pack", help="simulate, prepare, pack"))
    _run_options(commands.add_parser("run", help="train and measure"))
    page = commands.add_parser("page", help="write the page from the results")
    page.add_argument("pack", type=Path)
    page.add_argument("results", type=Path)
    page.add_argument("--docs", type=Path, default=Path("docs/studies"))
    page.add_argument("--anatomies", type=Path, help="label maps of the pack, to look at")
    page.add_argument(
        "--again",
        type=Path,
        nargs=2,
        metavar=("PACK", "RESULTS"),
        help="the same people on another grid or with another size of network, to compare",
    )
    arguments = parser.parse_args()
    try:
        if arguments.command == "pack":
            values = vars(arguments)
            values.pop("command")
            make_pack(**values)
        elif arguments.command == "run":
            _run(arguments)
        else:
            study = read_study(read_pack(arguments.pack), arguments.results)
            again = None
            if arguments.again:
                pack, results = arguments.again
                again = read_study(read_pack(pack), results)
            write_page(study, arguments.docs, arguments.anatomies, again)
    except UadBenchError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def _pack_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path)
    parser.add_argument("--recipe", default=str(Path(__file__).with_name("fidelity.yaml")))
    parser.add_argument("--anatomies", type=Path, required=True, help="folder of label maps")
    parser.add_argument("--data-root", type=Path, required=True, help="folder of real datasets")
    parser.add_argument("--lesion-free", type=Path, help="BIDS folder of other patients")
    parser.add_argument("--healthy", type=int, default=40)
    parser.add_argument("--patients", type=int, default=2)
    parser.add_argument("--cache", type=Path)


def _run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pack", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--arms", help="only these, separated by commas")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())


def _run(arguments: argparse.Namespace) -> None:
    torch.set_num_threads(arguments.threads)
    chosen = ARMS
    if arguments.arms:
        known = {arm.name: arm for arm in ARMS}
        chosen = tuple(known[name] for name in arguments.arms.split(","))
    pack = read_pack(arguments.pack)
    arguments.results.mkdir(parents=True, exist_ok=True)
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    for seed in seeds:
        for arm in chosen:
            if seed == seeds[0] or arm.draws:
                _measure_once(arm, seed, pack, arguments)


def _measure_once(arm: Arm, seed: int, pack: Pack, arguments: argparse.Namespace) -> None:
    """Do one job, unless it is done or another process is at it."""
    done = arguments.results / f"{arm.name}-s{seed}.json"
    try:
        with held(done.with_suffix(".lock"), wait=False):
            if done.is_file():
                return
            started = time.perf_counter()
            measure(
                arm,
                seed,
                SIZES[arguments.size],
                pack,
                device=arguments.device,
                folder=arguments.results,
            )
            seconds = time.perf_counter() - started
            print(f"{arm.name}, seed {seed}: {seconds:.0f} s", flush=True)
    except HeldError:
        return
    except UadBenchError as error:
        print(f"{arm.name}, seed {seed}: {error}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
