"""The words of the board, in English and in Swedish, and which of them a browser asks for."""

import re
from typing import Final

from attrs import frozen

__all__ = ["ENGLISH", "LANGUAGES", "SWEDISH", "Words", "words_for"]

# The terms of the machine, of the figures, and what timelines say (views/timeline.py).
_SWEDISH: Final = {
    # --- the frame of a page
    "Wall": "Översikt",
    "Waiting": "I kö",
    "Search": "Sök",
    "Figures": "Nyckeltal",
    "Machine": "Maskin",
    "Chat": "Chatt",
    "Pages": "Sidor",
    "Skip to the content": "Hoppa till innehållet",
    "As of": "Läget",
    "Pause": "Pausa",
    "Live": "Aktuellt",
    "Paused: what you see is getting old.": "Pausat: det du ser blir gammalt.",
    "STALE: the database does not answer. What you see is old.": (
        "GAMMALT: databasen svarar inte. Det du ser är inte aktuellt."
    ),
    "STALE: the board does not answer. What you see is old.": (
        "GAMMALT: tavlan svarar inte. Det du ser är inte aktuellt."
    ),
    "The chat is closed: nothing changes any more.": ("Chatten är avslutad: inget ändras längre."),
    "Reload": "Ladda om",
    "Reload every 10 seconds": "Ladda om var tionde sekund",
    "Reload no more": "Sluta ladda om",
    "STALE": "GAMMALT",
    "Times are in {zone}.": "Tider i {zone}.",
    "What people wrote is not shown.": "Vad människor skrivit visas inte.",
    "Nothing has been read yet.": "Inget har lästs ännu.",
    "There is no such page.": "Sidan finns inte.",
    "There is no such chat.": "Chatten finns inte.",
    "The database does not answer. Try again later.": (
        "Databasen svarar inte. Försök igen senare."
    ),
    # --- the wall
    "Live chats": "Pågående chattar",
    "No chat is live.": "Ingen chatt pågår.",
    "Waits": "Väntan",
    "longest wait in the queue": "längsta väntan i kön",
    "waits over {target}": "väntar längre än {target}",
    "wait for an answer of the bot": "väntar på svar från boten",
    "past their deadline, not swept": "passerat sin tidsgräns, ej städade",
    "nobody": "ingen",
    "since {time}": "sedan {time}",
    "the longest since {time}": "längst sedan {time}",
    "attention": "obs",
    "In the last hour": "Senaste timmen",
    "In the hour before {time}": "Timmen före {time}",
    "opened": "öppnade",
    "closed chats": "avslutade",
    "abandoned in the queue": "gav upp i kön",
    "and {count} within 10 s": "och {count} inom 10 s",
    "events without a chat (strays)": "händelser utan chatt",
    "invalid events": "ogiltiga händelser",
    "without a platform": "utan plattform",
    "The whole board": "Hela tavlan",
    "age of the newest event of a live chat (lag)": (
        "ålder på senaste händelse i en pågående chatt (eftersläpning)"
    ),
    "nothing is live": "inget pågår",
    "conflicts": "konflikter",
    "not known here": "inte känt här",
    "A conflict is a message id that came again with another event. It is not stored, so the board "
    "can't count it: the worker does, at /metrics.": (
        "En konflikt är ett meddelande-id som kom igen med en annan händelse. Den lagras inte, så "
        "tavlan kan inte räkna den: det gör workern, på /metrics."
    ),
    "The hour is counted every 10 s and the day every minute, more seldom where that takes long; "
    "all else is as of the time above.": (
        "Timmen räknas var tionde sekund och dagen varje minut, mer sällan om det tar lång tid; "
        "allt annat gäller tidpunkten ovan."
    ),
    "The lag is the time since the latest event of a customer with a live chat, heartbeats too, or "
    "since the event that was written last, whichever was received later.": (
        "Eftersläpningen är tiden sedan senaste händelse från en kund med pågående chatt, även "
        "livstecken, eller sedan den senast skrivna händelsen, om den togs emot senare."
    ),
    "Chats opened today, by half hour": "Öppnade chattar i dag, per halvtimme",
    "opened and never queued": "öppnade, aldrig i kö",
    "opened and queued": "öppnade, ställda i kö",
    "queued": "i kö",
    "The same as a table": "Samma som tabell",
    "half hour from": "halvtimme från",
    "{opened} chats have opened since {since}, {queued} of them have been in the queue. "
    "The busiest half hour began at {peak}.": (
        "{opened} chattar har öppnats sedan {since}, {queued} av dem har varit i kö. Livligaste "
        "halvtimmen började {peak}."
    ),
    "No chat has opened today.": "Ingen chatt har öppnats i dag.",
    "counted at {time}": "räknat {time}",
    # --- lists
    "Who waits in the queue, the longest first": "Vem som väntar i kön, längst väntan först",
    "Nobody waits.": "Ingen väntar.",
    "The list ends after {count}.": "Listan slutar efter {count}.",
    "platform": "plattform",
    "user": "användare",
    "place": "plats",
    "in the queue since": "i kö sedan",
    "waited": "väntat",
    "last seen": "senast sedd",
    "chat": "chatt",
    "state": "läge",
    "closed at": "avslutad",
    "opened at": "öppnad",
    "chat {ordinal}": "chatt {ordinal}",
    "over {target}": "över {target}",
    "Search by user": "Sök användare",
    "User id, whole": "Användar-id, hela",
    "Platform, if you know it": "Plattform, om du vet den",
    "Chats of this user, the last first": "Användarens chattar, den senaste först",
    "No chat of this user is known.": "Ingen chatt är känd för användaren.",
    "That can't be an id: it has 1 to 255 characters.": (
        "Det kan inte vara ett id: det har 1 till 255 tecken."
    ),
    # --- one chat
    "Chat {ordinal} of {user} on {platform}": "Chatt {ordinal} med {user} på {platform}",
    "Where it is": "Var den är",
    "Its path through the states": "Vägen genom lägena",
    "The path of the chat through the states. The timeline says the same in words.": (
        "Chattens väg genom lägena. Tidslinjen säger samma sak i ord."
    ),
    "Open the picture by itself": "Öppna bilden för sig",
    "Timeline": "Tidslinje",
    "What happened, row by row": "Vad som hände, rad för rad",
    "time": "tid",
    "who": "vem",
    "to whom": "till vem",
    "what": "vad",
    "state after": "läge efter",
    "received {time}": "mottagen {time}",
    "{length} later": "{length} senare",
    "The timeline shows the rows {first} to {last} of {rows}.": (
        "Tidslinjen visar raderna {first} till {last} av {rows}."
    ),
    "It is in {state} since {time} ({length}).": "Den är i läget {state} sedan {time} ({length}).",
    "It has waited in the queue since {time} ({length}).": (
        "Den har väntat i kön sedan {time} ({length})."
    ),
    "The customer was told place {place}.": "Kunden har fått plats {place}.",
    "Its deadline, {time}, is past: it is to be swept.": (
        "Tidsgränsen, {time}, är passerad: den ska städas."
    ),
    "Unless the customer is heard of, it closes at {time}.": (
        "Om kunden inte hörs av avslutas chatten {time}."
    ),
    "It closed at {time}: {reason}.": "Den avslutades {time}: {reason}.",
    "It opened at {time}.": "Den öppnades {time}.",
    "It goes on from a chat that the clock had closed.": (
        "Den fortsätter en chatt som klockan hade avslutat."
    ),
    "The chat before it": "Chatten före",
    "The customer was last seen at {time}.": "Kunden sågs senast {time}.",
    "The customer's last text has had no reply.": "Kundens senaste text är obesvarad.",
    "The agent is {agent}.": "Medarbetaren är {agent}.",
    # --- figures, the machine
    "Figures of the visits that opened from {since} to {until}": (
        "Nyckeltal för besök som öppnades från {since} till {until}"
    ),
    "from": "från",
    "to, included": "till och med",
    "by": "per",
    "all visits": "alla besök",
    "hour": "timme",
    "day": "dag",
    "week": "vecka",
    "agent": "medarbetare",
    "Show": "Visa",
    "no agent": "ingen medarbetare",
    "figure": "nyckeltal",
    "part": "del",
    "number": "antal",
    "of": "av",
    "rate": "andel",
    "median": "median",
    "mean": "medel",
    "Those are no days: wanted dates such as 2026-03-01, the first not after the second, and at "
    "most 31 days.": (
        "Det är inga dagar: datum som 2026-03-01, det första inte efter det andra, högst 31 dagar."
    ),
    "There is no such group.": "Gruppen finns inte.",
    "No visit opened then.": "Inget besök öppnades då.",
    "counted at {time}, in {zone}": "räknat {time}, i {zone}",
    "How each figure is counted": "Hur varje nyckeltal räknas",
    "Today's traffic through the machine": "Dagens trafik genom maskinen",
    "How often chats went each way today, and how long each state lasted.": (
        "Hur ofta chattar tog varje väg i dag, och hur länge varje läge varade."
    ),
    "from state": "från läge",
    "to state": "till läge",
    "by trigger": "genom",
    "how often": "hur ofta",
    "new chat": "ny chatt",
    "Nothing has happened today.": "Inget har hänt i dag.",
    "visits": "besök",
    "timeInQueue": "tid i kö",
    "firstBotResponse": "första svar från boten",
    "firstHumanResponse": "första svar från en människa",
    "firstHumanResponseFromHandover": "första svar från en människa, från kö",
    "handleTime": "tid hos medarbetare",
    "abandonment": "gav upp",
    "serviceLevel": "svarsnivå",
    "containment": "löst av boten",
    "transfers": "överlämningar",
    "repeatVisits": "återbesök",
    "load": "belastning",
    "live": "pågår",
    "other": "annan",
    "customer left": "kunden gick",
    "queue": "kö",
    "queue closed": "kön stängde",
    "answered": "besvarade",
    "abandoned": "gav upp",
    "short": "korta",
    "left": "gick",
    "went silent": "tystnade",
    "came back": "kom tillbaka",
    "too recent": "för nyligen",
    "to queue": "till kö",
    "to agent": "till medarbetare",
    "to bot": "till bot",
    "within 24 hours": "inom 24 timmar",
    "within 7 days": "inom 7 dagar",
    # --- lengths of time
    "under 1 min": "under 1 min",
    "{minutes} min": "{minutes} min",
    "{hours} h {minutes} min": "{hours} tim {minutes} min",
    "{days} d {hours} h": "{days} d {hours} tim",
    "{seconds} s": "{seconds} s",
    # --- states, close reasons, outcomes, roles
    "open": "öppnad",
    "bot": "bot",
    "with_agent": "hos medarbetare",
    "closed": "avslutad",
    "nobody knows why": "ingen vet varför",
    "the customer left the chat": "kunden lämnade chatten",
    "the agent was done": "medarbetaren var klar",
    "the customer left the page and did not come back": (
        "kunden lämnade sidan och kom inte tillbaka"
    ),
    "the customer was silent for too long": "kunden var tyst för länge",
    "the agents' platform ended it for good": "medarbetarnas plattform avslutade den för gott",
    "an operator closed it by hand": "en operatör avslutade den för hand",
    "ignored": "ignorerad",
    "late": "sen",
    "unknown": "okänd",
    "customer": "kund",
    "platform (role)": "plattform",
    "clock": "klocka",
    "operator": "operatör",
    # --- what timelines say
    "writes": "skriver",
    "is on the page": "är på sidan",
    "begins to type": "börjar skriva",
    "opens the chat": "öppnar chatten",
    "has read what was written": "har läst det som skrivits",
    "leaves the page": "lämnar sidan",
    "leaves the chat": "lämnar chatten",
    "announces": "meddelar",
    "stops typing": "slutar skriva",
    "tells the place in the queue": "säger platsen i kön",
    "tells place {place} in the queue": "säger plats {place} i kön",
    "takes the chat": "tar chatten",
    "is done with the chat": "är klar med chatten",
    "lets go of the chat": "släpper chatten",
    "ends the chat for good": "avslutar chatten för gott",
    "closes the queue": "stänger kön",
    "hands over to the bot": "lämnar över till boten",
    "hands over to an agent": "lämnar över till en medarbetare",
    "puts the chat in line": "ställer chatten i kö",
    "has waited long enough": "har väntat länge nog",
    "closes the chat by hand": "avslutar chatten för hand",
    "sends what the protocol does not know": "skickar något som protokollet inte känner till",
    "presses a button": "trycker på en knapp",
    "offers buttons": "erbjuder knappar",
    "sends a link": "skickar en länk",
    "sends a picture": "skickar en bild",
    "sends cards": "skickar kort",
    ", nobody knows who": ", ingen vet vem",
    ", but the customer has written since": ", men kunden har skrivit sedan dess",
    "[erased]": "[raderat]",
}

_ENGLISH: Final = {
    "closed chats": "closed",
    "platform (role)": "platform",
    "with_agent": "with agent",
    "timeInQueue": "time in queue",
    "firstBotResponse": "first response of the bot",
    "firstHumanResponse": "first response of a human",
    "firstHumanResponseFromHandover": "first response of a human, from the handover",
    "handleTime": "handle time",
    "abandonment": "abandonment",
    "serviceLevel": "service level",
    "containment": "contained by the bot",
    "repeatVisits": "repeat visits",
}

# What a timeline says of a row: a phrase, and what may stand behind it.
_SUMMARY: Final = re.compile(
    r"(?P<phrase>tells place (?P<place>\d+) in the queue|[^,(\[]+?)"
    r"(?P<who>, nobody knows who)?(?P<what> [\[(].*?)?"
    r"(?P<since>, but the customer has written since)?",
    re.DOTALL,
)


@frozen
class Words:
    """The words of one language.

    Attributes:
        language: Its tag in HTML.
    """

    language: str

    def __call__(self, text: str, **values: object) -> str:
        """*text* in this language, with the *values* in their places."""
        known = _SWEDISH if self.language == "sv" else _ENGLISH
        said = known.get(text, text)
        return said.format(**values) if values else said

    def summary(self, text: str) -> str:
        """What a timeline says of a row."""
        found = _SUMMARY.fullmatch(text)
        if found is None or self.language == "en":
            return text
        phrase = found["phrase"]
        if found["place"]:
            phrase = self("tells place {place} in the queue", place=found["place"])
        parts = (self(part) if part else "" for part in (found["who"], found["since"]))
        who, since = parts
        return f"{self(phrase)}{who}{found['what'] or ''}{since}"

    def knows(self, text: str) -> bool:
        """Whether *text* is said in this language."""
        return self.language == "en" or text in _SWEDISH


ENGLISH: Final = Words("en")
SWEDISH: Final = Words("sv")
LANGUAGES: Final = {words.language: words for words in (ENGLISH, SWEDISH)}


def words_for(accepted: str) -> Words:
    """The words for an ``Accept-Language`` header: the first of the best; English if none fits."""
    best, found = 0.0, ENGLISH
    for part in accepted.split(","):
        tag, _, quality = part.partition(";")
        language = tag.strip().lower().partition("-")[0]
        weight = _weight(quality)
        if language in LANGUAGES and weight > best:
            best, found = weight, LANGUAGES[language]
    return found


def _weight(quality: str) -> float:
    if not quality.strip():
        return 1.0
    found = re.fullmatch(r"q=([01](?:\.\d{0,3})?)", quality.strip().lower())
    return float(found[1]) if found else 0.0
