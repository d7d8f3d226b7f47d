"""
The words that a new reader would have to learn, and what to write instead.

`python -m tests.words_to_avoid` counts them in each folder; with `--lines` it prints every place,
and with paths it looks only below these.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent

SUFFIXES = {".css", ".html", ".js", ".md", ".py", ".sh", ".sql", ".toml", ".txt", ".yaml", ".yml"}
NAMES = {".env.example", "Makefile", "Procfile", "run"}
# Other hidden files are of one machine.
HIDDEN = (".ci", ".env.example")

# `demo/` is skipped too: it has the made-up stories of a newspaper.
SKIPPED = (
    "armo/static/unfold/js/alpine/alpine.js",  # of its authors
    "docs/openapi.yaml",  # collected from the code
    "tests/test_words.py",
    "tests/words_to_avoid.py",
)


@dataclass(frozen=True)
class Word:
    """A word to avoid: the pattern of a line that has it, and what to write instead."""

    name: str
    # Met in the line as `split` returns it: in lower case, the words of a name apart.
    pattern: str
    instead: str

    def is_in(self, line: str) -> bool:
        return bool(alone(self.pattern).search(line))


@cache
def alone(pattern: str) -> re.Pattern[str]:
    """Return the pattern of words that are no part of a longer one."""
    return re.compile(rf"(?<![a-z])(?:{pattern})(?![a-z])")


AVOIDED = (
    Word("adopt", r"adopt(s|ed|ing|ion)?", "create missing jobs"),
    Word("bury", r"bury(ing)?|burie[sd]", "move to failed tasks"),
    Word(
        "doing", r"(the|its|whose|[a-z]+['’]s) doing|doing\.[a-z]+|doing py|import doing", "action"
    ),
    Word("door", r"doors?", "entry point"),
    Word("envelope", r"envelopes?", "payload"),
    Word("foresee", r"(un)?foresee[ns]?|foreseeing|foresaw", "preview"),
    Word("give up", r"(give[ns]?|gave|giving) up", "charge, drop, unschedule, exit"),
    Word("he", r"he|his|him|himself|she|hers?|herself", "they, the user, the editor"),
    Word("in hand", r"in hand", "in memory, loaded"),
    Word("orphan", r"orphan(s|ed)?", "item without a job"),
    Word("put to rest", r"put(s|ting)? (it |them |[a-z]+ )?to rest", "move to failed tasks"),
    Word("salvage", r"salvag(e[ds]?|ing)", "unsaved"),
    Word("seal", r"seal(s|ed|er|ers|ing)?", "build"),
    Word("stand by", r"stands? by|stood by|stands? ready|standing ready", "pre-warm"),
    Word("tell", r"tell(s|ing)?|(un)?told", "notify, say, show"),
    Word("wish", r"wish(es|ed|ing)?", "requested schedule, validated data"),
    Word("words", r"own words|accounts[./]words|import words|words\.own", "locale"),
    # A docstring that says nothing.
    Word("The same.", r'"""the same\b[.,]', "what it does, or no docstring"),
    Word("Describes it.", r'"""describes it\b', "what it does, or no docstring"),
    Word("See above.", r'"""see above\b', "what it does, or no docstring"),
)


@dataclass(frozen=True)
class Allowed:
    """A place where such a word may stand."""

    path: str
    text: str
    reason: str


ALLOWED = (
    Allowed(
        r"",
        r"\btasks\.(tell_failures|stand_by|bury|give_up)\b",
        "Messages in the queue, and django-q2's history, name these tasks.",
    ),
    Allowed(
        r"",
        r"[\"'`](tell_failures|stand_by|bury|give_up)[\"'`]",
        "The same names, without the module's.",
    ),
    Allowed(
        r"^scheduling/tasks\.py$",
        r"\bdef (tell_failures|stand_by|bury|give_up)\b",
        "Messages in the queue, and django-q2's history, name these tasks.",
    ),
    Allowed(r"", r"\b(told_at(__[a-z]+)?|job_untold)\b", "A column and an index of the database."),
    Allowed(
        r"^scheduling/models/job\.py$",
        r'_\("told at"\)',
        "The same column's name for people, which a migration has recorded.",
    ),
    Allowed(r"\.py$", r'"told"', "A key of the facts that events keep in the database."),
    Allowed(
        r"/migrations/", r'verbose_name="told at"', "A migration says what the model said then."
    ),
    Allowed(
        r"",
        r"\b0004_attempts_and_telling\b",
        "Every database has recorded this migration under its name.",
    ),
    Allowed(
        r"^tests/content/test_frontmatter\.py$",
        r"“Autumn”, she said",
        "A text that is read, in a test.",
    ),
)


@dataclass(frozen=True)
class Finding:
    """One word to avoid, and where it stands; line 0 is the file's own name."""

    path: str
    line: int
    word: Word
    text: str


def split(line: str) -> str:
    """Return the line in lower case, with the words of each name apart."""
    # Punctuation stays: a docstring is known by its quotes.
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_", " ", line).lower()


def files() -> Iterator[str]:
    """Yield the path of each file of the project that people read or write, from its root."""
    tops = [
        path
        for path in PROJECT.iterdir()
        if path.name not in ("node_modules", "demo", "staticfiles")
    ]
    tops = [path for path in tops if not path.name.startswith(".") or path.name in HIDDEN]
    for top in sorted(tops):
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            name = path.relative_to(PROJECT).as_posix()
            if (path.suffix in SUFFIXES or path.name in NAMES) and name not in SKIPPED:
                yield name


def without_allowed(path: str, line: str) -> str:
    """Return the line without what may stand in it."""
    for place in ALLOWED:
        if re.search(place.path, path):
            line = re.sub(place.text, "", line)
    return line


def findings(below: Sequence[str] = ()) -> Iterator[Finding]:
    """Yield every word to avoid in the project, or in some of its folders and files."""
    any_word = alone("|".join(word.pattern for word in AVOIDED))
    for path in files():
        if below and not path.startswith(tuple(below)):
            continue
        lines = [path, *(PROJECT / path).read_text(encoding="utf-8").splitlines()]
        for number, text in enumerate(lines):
            if not any_word.search(split(text)):
                continue  # nearly all of them
            line = split(without_allowed(path, text))
            for word in AVOIDED:
                if word.is_in(line):
                    yield Finding(path, number, word, text.strip())


def table(found: Sequence[Finding]) -> Iterator[str]:
    """Yield the counts of each folder, the words that are there most often first."""
    counts: dict[str, Counter[str]] = {}
    for finding in found:
        folder = str(Path(finding.path).parent)
        counts.setdefault(folder, Counter())[finding.word.name] += 1
    for folder, words in sorted(counts.items()):
        each = ", ".join(f"{name} {number}" for name, number in words.most_common())
        yield f"{folder:32} {words.total():5}  {each}"
    yield f"{'all':32} {len(found):5}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what is found; 1 if anything is."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("paths", nargs="*", help="look only below these, as scheduling/worker")
    parser.add_argument("--lines", action="store_true", help="print every place")
    options = parser.parse_args(arguments)
    found = list(findings(options.paths))
    if options.lines:
        for finding in found:
            place = f"{finding.path}:{finding.line}: {finding.word.name} (rather: "
            sys.stdout.write(f"{place}{finding.word.instead}): {finding.text[:100]}\n")
    else:
        sys.stdout.write("\n".join(table(found)) + "\n")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
