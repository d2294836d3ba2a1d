"""The results as pages: RESULTS.md, its pictures, and the figures in docs/."""

import re
from pathlib import Path
from typing import Final

from benchmarks.pictures import draw
from benchmarks.results import Result, Table, read

__all__ = ["markdown", "write_pages"]

_DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
_HEAD: Final = """\
# Results

Made by `python -m benchmarks`; do not edit. What is measured how is in the modules of this folder,
what to make of it in [docs/performance.md](../docs/performance.md).
"""


def write_pages(folder: Path) -> None:
    """Write what is shown of ``results.json`` in *folder*."""
    results = read(folder)
    parts = [_HEAD, *([] if results else ["Nothing was measured yet.\n"])]
    for name, result in results.items():
        parts.append(markdown(result))
        if draw(folder, name, result):
            parts.append(_picture(name, result.title))
    (folder / "RESULTS.md").write_text("\n".join(parts), encoding="utf-8")
    if folder == Path(__file__).resolve().parent:
        for page in _DOCS.glob("*.md"):
            page.write_text(filled_in(page.read_text(encoding="utf-8"), results), encoding="utf-8")


def markdown(result: Result) -> str:
    """A result as a section."""
    lines = [f"## {result.title}", "", result.about, "", *result.conditions]
    lines = [*lines[:4], *(f"- {line}" for line in result.conditions), ""]
    for table in result.tables:
        lines += [f"### {table.title}", "", *_rows(table), ""]
    return "\n".join(lines)


def _rows(table: Table) -> list[str]:
    shown = [table.columns, ["---", *["---:"] * (len(table.columns) - 1)], *table.rows]
    return [f"| {' | '.join(row)} |" for row in shown]


def _picture(name: str, title: str) -> str:
    return (
        "<picture>\n"
        f'  <source media="(prefers-color-scheme: dark)" srcset="{name}-dark.svg">\n'
        f'  <img src="{name}.svg" alt="{title}">\n'
        "</picture>\n"
    )


def filled_in(page: str, results: dict[str, Result]) -> str:
    """*page* with the tables of each result between its markers: ``<!-- figures: NAME -->``."""

    def figures(match: re.Match[str]) -> str:
        result = results.get(match["name"])
        lines = ["Not measured yet."]
        if result is not None:
            lines = [part for table in result.tables for part in _titled(table, len(result.tables))]
        return f"{match['start']}\n{chr(10).join(lines).strip()}\n{match['end']}"

    pattern = r"(?P<start><!-- figures: (?P<name>\w+) -->)\n.*?(?P<end><!-- /figures -->)"
    return re.sub(pattern, figures, page, flags=re.DOTALL)


def _titled(table: Table, of: int) -> list[str]:
    title = [] if of == 1 else [f"**{table.title}**", ""]
    return [*title, *_rows(table), ""]
