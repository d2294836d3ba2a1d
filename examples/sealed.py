"""What people wrote sealed by Fernet, with keys that are replaced now and then.

    python examples/sealed.py                                    shows it, on SQLite
    CHAT_KEYS="NEW OLD" sermo-fsm --sealing sealed:KEYS history web anna --bodies

The first key seals, and each of them opens. So a new one goes in front, and an old one goes when
nothing is left that it has sealed, as after ``sermo-fsm retain --bodies``. Whoever destroys it
earlier has destroyed what it sealed. Your key service hands out the keys; here it is a variable of
the environment.
"""

import os
import sqlite3
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from attrs import frozen
from cryptography.fernet import Fernet, MultiFernet

from sermo_fsm import ChatEngine, SealingFailed


@frozen
class Keys:
    """The keys in a variable, the newest first; read at each call, so that no restart is needed."""

    environment: Mapping[str, str]

    def _fernet(self) -> MultiFernet:
        return MultiFernet([Fernet(key) for key in self.environment["CHAT_KEYS"].split()])

    def seal(self, clear: bytes) -> bytes:
        """Seal by the newest key."""
        return self._fernet().encrypt(clear)

    def open(self, sealed: bytes) -> bytes:
        """Open by whichever key fits."""
        return self._fernet().decrypt(sealed)


KEYS = Keys(os.environ)


def main() -> None:
    """Write under one key, replace it, and look at what is stored."""
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    environment = {"CHAT_KEYS": old}
    keys = Keys(environment)
    event = {"type": "text", "userId": "anna", "platformId": "web"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chat.db"
        with ChatEngine(f"sqlite:///{path}", seal=keys.seal, open=keys.open) as chats:
            chats.migrate()
            chats.handle("inbound", {**event, "text": "Hemligt"}, message_id="m-1")
            environment["CHAT_KEYS"] = f"{new} {old}"
            session = chats.handle("inbound", {**event, "text": "Också hemligt"}).after
            again = chats.handle("inbound", {**event, "text": "Hemligt"}, message_id="m-1")
            print("comes again:", again.outcome)
            rows = list(chats.history(session.session_id if session else ""))
            print("opened:", [row.event["text"] for row in rows if row.event])
            environment["CHAT_KEYS"] = new
            try:
                list(chats.history(rows[0].session_id or ""))
            except SealingFailed as error:
                print("without the old key:", error.what)
        with closing(sqlite3.connect(path)) as database:
            stored = [text for (text,) in database.execute("SELECT event FROM sermo_body")]
        print("stored:", stored[0][:15], "…")
        print("in clear anywhere:", b"emligt" in path.read_bytes())


if __name__ == "__main__":
    main()
