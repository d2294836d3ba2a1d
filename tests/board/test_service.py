"""``sermo-fsm board`` as a process, and what it refuses to do."""

import json
import re
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from sermo_fsm import ChatEngine
from tests.board.support import PASSWORD, a_site, in_queue
from tests.command.test_cli_support import COMMAND, environment, sermo
from tests.databases import skip_without
from tests.support import CHECKOUT, EXAMPLES

File = tuple[sa.URL, ChatEngine]


@contextmanager
def running(url: sa.URL | str, *options: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """The board as a process on a free port: its address, and the process."""
    named = url if isinstance(url, str) else url.render_as_string(hide_password=False)
    with subprocess.Popen(
        [*COMMAND, "board", "--db", named, "--port", "0", "--every", "0.05", *options],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise AssertionError(process.communicate()[1])
            yield line.removeprefix("board at ").strip().rstrip("/"), process
        finally:
            process.kill()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(f"{PASSWORD}\n", encoding="utf-8")
    return file


@pytest.mark.parametrize("signal_", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_well_while_somebody_watches(file: File, signal_: signal.Signals) -> None:
    in_queue(file[1], "anna")
    with running(file[0]) as (address, process), httpx.Client(base_url=address) as web:
        assert "Who waits" in web.get("/waiting").text
        with web.stream("GET", "/events/wall") as stream:
            chunks = stream.iter_text()
            next(chunks)
            process.send_signal(signal_)
            for _ in chunks:
                pass
        said, errors = process.communicate(timeout=60)
    assert (process.returncode, said, errors) == (0, "", "")


def test_what_others_write_is_seen(file: File) -> None:
    with running(file[0]) as (address, _), httpx.Client(base_url=address) as web:
        assert "Nobody waits." in web.get("/waiting").text
        with web.stream("GET", "/events/waiting") as stream:
            lines = stream.iter_lines()
            in_queue(file[1], "anna")
            assert any("Who waits" in line for line in lines)


def test_on_every_database(kind_url: sa.URL) -> None:
    with ChatEngine(kind_url) as chats:
        in_queue(chats, "anna")
    with running(kind_url) as (address, _), httpx.Client(base_url=address) as web:
        for path in ("/", "/waiting", "/figures", "/machine", "/search?user=anna"):
            assert web.get(path).status_code == 200, path
        metrics = web.get("/metrics").text
        assert "sermo_board_up 1.0" in metrics
        assert 'sermo_board_chats{platform="web",state="queued"} 1.0' in metrics


def test_it_can_not_write(file: File) -> None:
    before = Path(str(file[0].database)).read_bytes()
    with running(file[0]) as (address, _), httpx.Client(base_url=address) as web:
        for path in ("/", "/waiting", "/figures", "/machine", "/search?user=x"):
            assert web.get(path).status_code == 200
    assert Path(str(file[0].database)).read_bytes() == before


def test_with_a_token_and_names_of_its_own(file: File, token_file: Path) -> None:
    options = ("--host", "0.0.0.0", "--allow-host", "board.example", "--behind-proxy")  # noqa: S104 - on purpose
    with running(file[0], *options, "--token-file", str(token_file)) as (address, _):
        local = address.replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - as above
        with httpx.Client(base_url=local, auth=("anybody", PASSWORD)) as web:
            assert web.get("/").status_code == 200
            assert web.get("/", headers={"host": "board.example"}).status_code == 200
            assert web.get("/", headers={"host": "evil.example"}).status_code == 421
            assert web.get("/", auth=("anybody", "wrong")).status_code == 401
            assert "server" not in web.get("/").headers


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    openssl = shutil.which("openssl")
    if openssl is None:
        skip_without("no openssl; apt install openssl")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([openssl, *made, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


@pytest.mark.service
def test_by_tls(file: File, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    with running(file[0], "--tls-cert", str(cert), "--tls-key", str(key)) as (address, _):
        assert address.startswith("https://127.0.0.1:")
        with httpx.Client(verify=ssl.create_default_context(cafile=str(cert))) as web:
            assert web.get(f"{address}/").status_code == 200


def test_by_the_other_loopback(file: File) -> None:
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
        pytest.skip("no IPv6 here")
    with running(file[0], "--host", "::1") as (address, _):
        assert address.startswith("http://[::1]:")
        assert httpx.get(f"{address}/").status_code == 200


OUTSIDE = ("--host", "192.0.2.1")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (OUTSIDE, "others can reach 192.0.2.1: give --token-file"),
        (("--host", "board.example"), "others can reach board.example: give --token-file"),
        ((*OUTSIDE, "--token-file", "TOKEN"), "others can read along on the way to 192.0.2.1"),
        (("--host", "::", "--token-file", "TOKEN", "--behind-proxy"), "nobody asks for ::"),
        ((*OUTSIDE, "--token-file", "TOKEN", "--behind-proxy"), "requested address"),
        (("--tls-cert", "TOKEN"), "--tls-cert and --tls-key belong together"),
        (("--tls-key", "TOKEN"), "--tls-cert and --tls-key belong together"),
        (("--tls-cert", "TOKEN", "--tls-key", "TOKEN", "--behind-proxy"), "give no --tls-cert"),
        (("--token-file", "SHORT"), "wanted 16 or more letters"),
        (("--token-file", "BYTES"), "wanted text"),
        (("--token-file", "missing"), "does not exist"),
        (("--every", "0"), "not in the range"),
        (("--port", "65536"), "not in the range"),
        (("--zone", "Mars"), "wanted the name of a time zone"),
    ],
)
def test_what_is_not_safe_or_not_possible_is_refused(
    file: File, token_file: Path, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    (tmp_path / "short").write_text("short", encoding="utf-8")
    (tmp_path / "bytes").write_bytes(b"\xff" * 20)
    files = {"TOKEN": token_file, "SHORT": tmp_path / "short", "BYTES": tmp_path / "bytes"}
    given = [str(files.get(option, option)) for option in options]
    done = sermo("board", "--db", str(file[0]), *given)

    assert done.exit_code == 2
    assert words in " ".join(done.output.split())


def test_a_certificate_that_is_none(file: File, token_file: Path) -> None:
    options = ("--tls-cert", str(token_file), "--tls-key", str(token_file), "--port", "0")
    done = sermo("board", "--db", str(file[0]), *options)

    assert done.exit_code == 2
    assert "Traceback" not in done.output


def test_a_port_that_is_in_use(file: File) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = sermo("board", "--db", str(file[0]), "--port", port)
    assert done.exit_code == 2
    assert "in use" in done.output


def test_a_database_without_our_tables(tmp_path: Path) -> None:
    done = sermo("board", "--db", f"sqlite:///{tmp_path}/none.db", "--port", "0")

    assert done.exit_code == 3
    assert "sermo-fsm db upgrade" in done.output
    assert sermo("board", "--db", "nonsense", "--port", "0").exit_code == 2


def test_without_the_extra_it_says_what_to_install(
    file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    for name in [name for name in sys.modules if name.startswith("sermo_fsm.board")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    done = sermo("board", "--db", str(file[0]))

    assert done.exit_code == 2
    assert "pip install 'sermo-fsm[board]'" in done.output


def test_what_the_page_about_it_shows_are_options_of_ours() -> None:
    text = (CHECKOUT / "docs" / "board.md").read_text(encoding="utf-8")
    shown = re.findall(r"^sermo-fsm (board.*?)(?: +#.*)?$", text, re.MULTILINE)
    assert len(shown) == 2
    for command in shown:
        done = sermo(*command.split(), "--help")
        assert (done.exit_code, "--behind-proxy" in done.output) == (0, True)


def test_the_dashboard_asks_for_metrics_that_there_are(file: File) -> None:
    in_queue(file[1], "anna")
    dashboard = json.loads((EXAMPLES / "deploy" / "grafana-board.json").read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    with a_site(file[0]) as site:
        metrics = site.get("/metrics").text
    assert len(asked) > 5
    for query in asked:
        for name in re.findall(r"sermo_board_\w+", query):
            assert f"\n{name}" in metrics, name
