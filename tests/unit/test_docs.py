"""What documentation points to exists, and every public field has its sentence."""

import pydoc
import re
import tarfile
from datetime import UTC, datetime
from enum import EnumMeta
from inspect import get_annotations
from pathlib import Path
from typing import Any

import pytest
from hatchling.builders.sdist import SdistBuilder

from sermo_fsm import ChatSession, Direction, HistoryRow, Outcome, State
from tests.support import CHECKOUT
from tools import docs, field_docs

DESIGN = (CHECKOUT / "docs" / "design.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (\d+)\. (.+)$", DESIGN, re.MULTILINE))
GUARANTEES = re.findall(
    r"^(\d+)\. ", DESIGN.partition("## 7. ")[2].partition("## 8. ")[0], re.MULTILINE
)
FOLDERS = ("docs", "examples", "tests")
PAGES = sorted(
    [
        *CHECKOUT.glob("*.md"),
        *(page for name in FOLDERS for page in (CHECKOUT / name).rglob("*.md")),
    ]
)
NAMES = [str(page.relative_to(CHECKOUT)) for page in PAGES]

OPENED = datetime(2026, 3, 2, tzinfo=UTC)
CHAT = ChatSession(platform_id="web", user_id="u-1", state=State.BOT, opened_at=OPENED)
ROW = HistoryRow(direction=Direction.INBOUND, outcome=Outcome.MOVED, received_at=OPENED)


def there(kind: str, number: str) -> bool:
    return number in (SECTIONS if kind == "section" else GUARANTEES)


def test_the_design_has_its_sections_and_guarantees() -> None:
    assert [int(number) for number in SECTIONS] == list(range(1, 11))
    assert [int(number) for number in GUARANTEES] == list(range(1, 10))


def test_a_docstring_names_the_design_by_file_and_section_and_the_section_exists() -> None:
    pointing = 0
    for module in sorted((CHECKOUT / "sermo_fsm").rglob("*.py")):
        text = module.read_text(encoding="utf-8")
        assert "DESIGN" not in text, module
        every = re.findall(r"\b(?:[Ss]ection|[Gg]uarantee)s?\s+\d+", text)
        found = re.findall(r"docs/design\.md,\s+(section|guarantee)\s+(\d+)", text)
        assert len(found) == len(every), (module, every)
        assert all(there(kind, number) for kind, number in found), (module, found)
        pointing += len(found)
    assert pointing > 10


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_what_a_page_says_of_sections_and_guarantees_exists(page: Path) -> None:
    found = re.findall(r"\b(section|guarantee) (\d+)", page.read_text(encoding="utf-8"))
    assert all(there(kind, number) for kind, number in found), found


def anchors(page: Path) -> set[str]:
    """The anchors of its headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return {
        re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link in [*re.findall(r"\]\(([^)\s]+)\)", text), *re.findall(r'href="(.*?)"', text)]:
        if re.match(r"\w+:", link):
            continue  # another site
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_what_is_generated_is_in_step() -> None:
    names = ["README.md", *sorted(path.name for path in (CHECKOUT / "docs").iterdir())]
    assert [page.name for page in docs.PAGES] == names
    for page in docs.PAGES:
        text = page.read_text(encoding="utf-8")
        assert docs.render_parts(text) == text, "run 'make docs'"


def test_every_part_that_can_be_generated_is_on_a_page() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in docs.PAGES)
    for name in docs.PARTS:
        assert text.count(f"<!-- {name} -->") == text.count(f"<!-- /{name} -->") > 0, name


def test_every_class_of_the_page_has_its_table() -> None:
    text = (CHECKOUT / "docs" / "fields.md").read_text(encoding="utf-8")
    for name in field_docs.PARTS:
        assert text.count(f"<!-- {name} -->") == text.count(f"<!-- /{name} -->") == 1


@pytest.mark.parametrize("kind", field_docs.KINDS, ids=lambda kind: kind.__name__)
def test_no_field_and_no_member_lacks_a_sentence(kind: type[Any]) -> None:
    said = field_docs.sentences(kind)
    wanted = (
        list(kind.__members__)
        if isinstance(kind, EnumMeta)
        else [name for base in reversed(kind.__mro__) for name in get_annotations(base)]
    )
    assert list(said)[: len(wanted)] == wanted
    for sentence in said.values():
        assert re.fullmatch(r"[A-Z`].{5,}\.", sentence), sentence


def test_help_shows_the_sentences() -> None:
    shown = " ".join(pydoc.plain(pydoc.render_doc(Outcome)).replace("|", "").split())
    assert f"LATE: {field_docs.sentences(Outcome)['LATE']}" in shown


def test_every_name_in_the_json_is_explained() -> None:
    assert set(field_docs.json_names(ChatSession).values()) == set(CHAT.as_dict())
    assert set(field_docs.json_names(HistoryRow).values()) >= set(ROW.as_dict())


def test_a_source_archive_holds_the_docs(tmp_path: Path) -> None:
    (archive,) = SdistBuilder(str(CHECKOUT)).build(directory=str(tmp_path), versions=["standard"])
    with tarfile.open(archive) as opened:
        inside = {name.partition("/")[2] for name in opened.getnames()}
    assert {"docs/design.md", "docs/fields.md", "README.md"} <= inside
