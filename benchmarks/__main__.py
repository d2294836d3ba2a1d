"""Measure, and write RESULTS.md, its pictures and the figures in docs/.

python -m benchmarks                         a quarter of an hour (make bench)
python -m benchmarks growth                  what takes longer is run by its name
python -m benchmarks throughput --checkout ../old   beside another checkout of the library
python -m benchmarks render                  write the pages again, measure nothing
"""

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from benchmarks.options import KINDS, SMALL, Options
from benchmarks.report import markdown, write_pages
from benchmarks.results import Result, save

_HERE: Final = Path(__file__).resolve().parent

BENCHMARKS: Final[Mapping[str, str]] = {
    "throughput": "throughput.throughput",
    "peers": "throughput.against_peers",
    "latency": "latency.latency",
    "stages": "stages.stages",
    "workers": "workers.workers",
    "board": "board.board",
    "memory": "memory.memory",
    "imports": "imports.imports",
    "redaction": "redaction.redaction",
    "growth": "growth.growth",
    "history": "whole_history.whole_history",
    "chain": "chain.chain",
    "plans": "plans.plans",
    "scale": "scale.scale",
    "erase": "erase.erase",
}
"""The function of each benchmark, by its name."""

_LONG: Final = ("growth", "history", "chain", "plans", "scale", "erase")
"""Run by name only: they fill databases with millions of rows, or start a broker."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmarks that are named."""
    usual = [name for name in BENCHMARKS if name not in _LONG]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help=", ".join([*BENCHMARKS, "render"]))
    parser.add_argument("--databases", type=_words, default=KINDS, help=",".join(KINDS))
    parser.add_argument(
        "--sessions", type=_numbers, help="for growth and erase, such as 10000,100000"
    )
    for name in ("rounds", "before", "events", "peer-events", "single", "batch", "chats"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--checkout", type=Path, help="another checkout to measure beside this one")
    parser.add_argument("--folder", type=Path, help="where SQLite files lie; on a real disk")
    parser.add_argument("--output", type=Path, default=_HERE, help="where the results go")
    parser.add_argument("--small", action="store_true", help="as small as can be")
    given = vars(parser.parse_args(arguments))
    names, output, small = given.pop("names"), given.pop("output"), given.pop("small")
    if wrong := [name for name in names if name not in (*BENCHMARKS, "render")]:
        parser.error(f"no such benchmark: {', '.join(wrong)}")
    chosen: dict[str, Any] = {**(SMALL if small else {})}
    chosen |= {name: value for name, value in given.items() if value is not None}
    folder = chosen.pop("folder", None)
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as inside:
        options = Options(folder=Path(inside), **chosen)
        try:
            for name in names or usual:
                if name != "render":
                    result = _benchmark(name)(options)
                    save(output, name, result)
                    print(markdown(result))
        finally:
            options.clean()
    write_pages(output)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


def _benchmark(name: str) -> Callable[[Options], Result]:
    module, _, function = BENCHMARKS[name].partition(".")
    found: Callable[[Options], Result] = getattr(import_module(f"benchmarks.{module}"), function)
    return found


if __name__ == "__main__":
    main()
