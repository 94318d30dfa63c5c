"""Tags, notes and dates as people write them: checked, in words."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta

from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.message import refuse_surrogate

MOST_TAGS = 12
LONGEST_TAG = 40
LONGEST_NOTE = 2_000


def checked_tags(tags: Iterable[object]) -> tuple[str, ...]:
    """Return tags without spaces around them, each once.

    Raises:
        UserError: naming the tag, and what one may be.
    """
    found = []
    for tag in tags:
        name = " ".join(tag.split()) if isinstance(tag, str) else ""
        if not name or not name.isprintable() or "," in name:
            raise UserError(
                f"tag={tag!r:.60}: give a word or a few, printable, without a comma, "
                f"of 1 to {LONGEST_TAG} characters"
            )
        if len(name) > LONGEST_TAG:
            raise UserError(
                f"tag={name[:20]!r}... has {len(name)} characters: use at most {LONGEST_TAG}"
            )
        found.append(name)
    return tuple(dict.fromkeys(found))


def refuse_many(tags: Iterable[str]) -> None:
    """Refuse more tags than one run may have.

    Raises:
        UserError: saying how many there are.
    """
    if (number := len(set(tags))) > MOST_TAGS:
        raise UserError(f"the run would have {number} tags: use at most {MOST_TAGS}, remove some")


def checked_note(text: object) -> str:
    """Return a note without spaces around it.

    Raises:
        UserError: if it is too long or no text.
    """
    if not isinstance(text, str):
        raise UserError(f"text={text!r:.60} is no text: write the note, or an empty text for none")
    try:
        note = str(refuse_surrogate("text", text)).strip()
    except ValueError as error:
        raise UserError(str(error)) from error
    if len(note) > LONGEST_NOTE:
        raise UserError(f"the note has {len(note):,} characters: use at most {LONGEST_NOTE:,}")
    return note


def moment(name: str, value: object, *, ends: bool = False) -> datetime | None:
    """Return a moment in UTC, given as one or as a day; a day's end where it ``ends`` a span.

    Args:
        name: of the argument.
        value: a datetime (UTC where it has no zone), a date, a text such as 2026-03-01 or None.
        ends: whether a day given alone is part of the span that ends with it.

    Raises:
        UserError: if it is none of these.
    """
    if value is None or value == "":
        return None
    found = value
    if isinstance(value, str):
        try:
            found = (
                date.fromisoformat(value)
                if len(value) <= len("2026-03-01")
                else datetime.fromisoformat(value)
            )
        except ValueError:
            found = None
    try:
        if isinstance(found, date) and not isinstance(found, datetime):
            found = datetime.combine(found, time(), UTC) + timedelta(days=int(ends))
        if isinstance(found, datetime):
            zoned = found if found.tzinfo else found.replace(tzinfo=UTC)
            return zoned.astimezone(UTC)
    except OverflowError:
        pass
    raise UserError(
        f"{name}={value!r:.40} is no date: write it as 2026-03-01, or 2026-03-01T12:00 in UTC"
    )
