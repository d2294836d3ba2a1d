"""django-fsm-2, with its transitions written down by django-fsm-log.

https://github.com/django-commons/django-fsm-2 and https://django-fsm-log.readthedocs.io: a method
for each trigger, ``save()`` after it (here once a batch), and the log by the signals of the
library. It keeps no message ids.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final

import django
import sqlalchemy as sa
from django.conf import settings

from benchmarks.contenders import Contender, Ends
from benchmarks.contenders.meaning import CELLS, STATES, TRIGGERS, closes, trigger_of, wrote_later
from benchmarks.traffic import Message

__all__ = ["DjangoFsm"]

_QUIET: Final = ("heartbeat", "typing")
_LABEL: Final = "contenders"  # as Django calls this folder


def _settings(url: str) -> dict[str, Any]:
    where = sa.make_url(url)
    if where.get_backend_name() == "sqlite":
        # As durable as ours: WAL, flushed at each commit.
        options = {"init_command": "PRAGMA journal_mode=WAL", "transaction_mode": "IMMEDIATE"}
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": where.database, "OPTIONS": options}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": where.database,
        "HOST": where.host,
        "PORT": where.port or 5432,
        "USER": where.username,
        "PASSWORD": where.password or "",
        "OPTIONS": {},
    }


def _connect(url: str) -> None:
    """Let Django's default connection be one to *url*."""
    from django.db import connections

    if not settings.configured:
        settings.configure(
            DATABASES={"default": _settings(url)},
            INSTALLED_APPS=[
                "django.contrib.contenttypes",
                "django.contrib.auth",
                "django_fsm",
                "django_fsm_log",
                __package__,
            ],
            USE_TZ=True,
            DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        )
        django.setup()
        return
    connections.close_all()
    del connections["default"]
    connections.settings["default"].update(_settings(url))


@cache
def _model() -> Any:
    """The model; Django wants its settings before the class is made."""
    from django.db import models
    from django_fsm import RETURN_VALUE, FSMField, transition
    from django_fsm_log.decorators import fsm_log_description

    def method(trigger: str, field: Any) -> Any:
        def fired(chat: Any, now: datetime, **_: object) -> str:
            cell = cells.get((chat.state, trigger))
            if cell is None or cell.guard is None:
                return ""  # the target is fixed
            later = wrote_later(chat.customer_text_at, now)
            return str(cell.target({cell.guard} if later else set()).value)

        fired.__name__ = trigger
        for state in filter(lambda name: not closes(name), STATES):
            cell = cells.get((state, trigger))
            target: Any = state
            if trigger in _QUIET:
                target = None  # the log leaves out what has no target
            elif cell is not None and cell.guard is not None:
                target = RETURN_VALUE()
            elif cell is not None:
                target = cell.to.value
            fired = transition(field=field, source=state, target=target)(fired)
        return fsm_log_description(fired)

    cells = {(source, trigger): cell for source, trigger, cell in CELLS}
    state = FSMField(default=STATES[0], db_index=True)
    body = {
        "__module__": __name__,
        "Meta": type("Meta", (), {"app_label": _LABEL}),
        "platform_id": models.CharField(max_length=255),
        "user_id": models.CharField(max_length=255, db_index=True),
        "state": state,
        "opened_at": models.DateTimeField(),
        "closed_at": models.DateTimeField(null=True),
        "last_seen_at": models.DateTimeField(null=True),
        "customer_text_at": models.DateTimeField(null=True),
        "agent_id": models.CharField(max_length=255, null=True),
        **{trigger: method(trigger, state) for trigger in TRIGGERS},
    }
    return type("Chat", (models.Model,), body)


class DjangoFsm(Contender):
    """``getattr(chat, trigger)(); chat.save()``."""

    def open(self, url: str) -> None:
        """By Django's migrations; ours is made from the model."""
        _connect(url)
        from django.contrib.contenttypes.models import ContentType
        from django.core.management import call_command
        from django.db import connection

        self.chat = _model()
        ContentType.objects.clear_cache()
        call_command("migrate", verbosity=0)
        with connection.schema_editor() as editor:
            editor.create_model(self.chat)

    def many(self, messages: Sequence[Message]) -> None:
        """In one transaction, with the chats loaded at once."""
        from django.db import transaction

        events = [json.loads(message.line) for message in messages]
        users = {event["event"]["userId"] for event in events}
        with transaction.atomic():
            found = self.chat.objects.select_for_update().filter(user_id__in=users).order_by("id")
            chats = {(chat.platform_id, chat.user_id): chat for chat in found}
            for event in events:
                self._apply(chats, event)
            for chat in chats.values():
                chat.save()

    def _apply(self, chats: dict[tuple[str, str], Any], envelope: Any) -> None:
        event = envelope["event"]
        user = event["platformId"], event["userId"]
        now = datetime.fromisoformat(envelope["receivedAt"])
        chat = chats.get(user)
        if chat is None or closes(chat.state):
            chat = self.chat.objects.create(platform_id=user[0], user_id=user[1], opened_at=now)
            chats[user] = chat
        trigger = trigger_of(envelope["direction"], event)
        getattr(chat, trigger)(now, description=json.dumps(event, ensure_ascii=False))
        if envelope["direction"] == "inbound":
            chat.last_seen_at = now
        if trigger == "customer_text":
            chat.customer_text_at = now
        if trigger == "agent_text":
            chat.agent_id = event["agent"]["id"]
        if closes(chat.state):
            chat.closed_at = now

    def ends(self) -> Ends:
        """From the table of chats and the log."""
        from django.db.models import Count
        from django_fsm_log.models import StateLog

        counted = StateLog.objects.order_by().values_list("object_id").annotate(Count("id"))
        rows = dict(counted)
        return {
            user: (state, rows.get(key, 0))
            for key, user, state in self.chat.objects.values_list("id", "user_id", "state")
        }

    def close(self) -> None:
        """Close the connection."""
        from django.db import connections

        connections.close_all()
