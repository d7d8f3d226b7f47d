"""What is stored of a file at its import, and the times that it asks for."""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from content.frontmatter import Post


@dataclass(frozen=True)
class Plan:
    """The times at which the item of a file is to be live; without a start it is a draft."""

    start: datetime | None = None
    end: datetime | None = None
    # The name of the time zone in which the file has them. It is not stored: a job keeps it.
    zone: str = field(default="", compare=False)

    @classmethod
    def of(cls, post: Post) -> Self:
        """Return the plan of a file."""
        return cls(post.publish_at, post.unpublish_at, post.zone)

    def as_json(self) -> list[str | None]:
        """Return the plan as the item stores it."""
        return [at.isoformat() if at else None for at in (self.start, self.end)]

    @classmethod
    def from_json(cls, value: list[str | None]) -> Self:
        """Return the plan that `as_json` stored."""
        start, end = (datetime.fromisoformat(at) if at else None for at in value)
        return cls(start, end)


@dataclass(frozen=True)
class Memory:
    """What an item stores of its file, to find out later what has changed in the file or here."""

    file: str  # digest of the whole
    parts: dict[str, str]  # digest of each part
    plan: Plan  # as it was carried out
    slug: str | None = None  # that the file asks for; None of items that earlier versions imported
    address: str | None = None  # the slug that it got

    @classmethod
    def of(cls, parts: dict[str, Any], plan: Plan, slug: str) -> Self:
        """Return what a file says."""
        return cls(
            file=digest([parts, plan.as_json(), slug]),
            parts={name: digest(value) for name, value in parts.items()},
            plan=plan,
            slug=slug,
        )

    def as_json(self) -> dict[str, Any]:
        """Return it as the item stores it."""
        return {
            "file": self.file,
            "parts": self.parts,
            "plan": self.plan.as_json(),
            "slug": self.slug,
            "address": self.address,
        }

    @classmethod
    def find(cls, value: dict[str, Any] | None) -> Self | None:
        """Return what the item stores; None if it was not imported."""
        if value is None:
            return None
        return cls(
            value["file"],
            dict(value["parts"]),
            Plan.from_json(value["plan"]),
            value.get("slug"),
            value.get("address"),
        )

    @property
    def said(self) -> str:
        """Return a digest of what the file says to readers, whatever its name and its date."""
        return digest({name: value for name, value in self.parts.items() if name != "extra"})

    def has_text(self, title: str, body: str) -> bool:
        """Return whether the file had this title and this body, and the body was not blank."""
        same = self.parts["title"] == digest(title) and self.parts["body"] == digest(body)
        return same and bool(body.strip())


def digest(value: object) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of a JSON value."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
