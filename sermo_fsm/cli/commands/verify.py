"""``sermo-fsm verify``: check the stored history."""

import re
from typing import Any

import click

from sermo_fsm.analysis.chain import ChainVerification
from sermo_fsm.cli.json_output import print_json
from sermo_fsm.cli.options import database_option, json_option
from sermo_fsm.cli.shell import Shell
from sermo_fsm.cli.text import pluralized

__all__ = ["verify"]


def _digest(value: str) -> str:
    if not re.fullmatch("[0-9a-f]{64}", value):
        raise click.BadParameter("wanted 64 hexadecimal digits, the first word of db chain")
    return value


@click.command(
    epilog="""
    \b
    Examples
      sermo-fsm verify || echo 'the tables were edited by hand'
      sermo-fsm verify --digest 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

    The chain of digests is made by "sermo-fsm db chain".
    """
)
@click.option("--chain", "with_chain", is_flag=True, help="Check the chain of digests, too.")
@click.option(
    "--digest",
    metavar="DIGEST",
    type=_digest,
    help="And that it holds this one, which db chain has printed before.",
)
@database_option
@json_option
@click.pass_obj
def verify(shell: Shell, *, with_chain: bool, digest: str | None, as_json: bool) -> None:
    """Replay the stored history and check that it is consistent.

    The rows of every chat must form a chain without gaps that ends in the chat's state.
    """
    with shell.engine() as engine:
        found = engine.verify()
        chain = engine.verify_chain(digest) if with_chain or digest else None
    verdict = shell.verdict(ok=found.ok)
    chain_verdict = shell.verdict(ok=chain.ok) if chain else None
    if as_json:
        problems = [
            {"sessionId": problem.session_id, "seq": problem.seq, "what": problem.what}
            for problem in found.problems
        ]
        counts = {"sessions": found.sessions, "rows": found.rows}
        more = {"chain": _chain_view(chain)} if chain else {}
        print_json({"ok": not shell.status, **counts, "problems": problems, **more})
        return
    for problem in found.problems:
        place = "" if problem.seq is None else f" row {problem.seq}"
        shell.printer.print_line(f"{problem.session_id}{place}: {problem.what}")
    sessions, rows = pluralized(found.sessions, "session"), pluralized(found.rows, "row")
    shell.printer.print_line(verdict, f"{sessions} with {rows}")
    if chain and chain_verdict:
        for what in chain.problems:
            shell.printer.print_line(what)
        rows = pluralized(chain.chain.rows, "row")
        shell.printer.print_line(chain_verdict, f"chain of {rows}, {chain.unchained:,} not in it")


def _chain_view(chain: ChainVerification) -> dict[str, Any]:
    return {
        "ok": chain.ok,
        "digest": chain.chain.digest,
        "segments": chain.chain.segments,
        "rows": chain.chain.rows,
        "unchained": chain.unchained,
        "problems": list(chain.problems),
    }
