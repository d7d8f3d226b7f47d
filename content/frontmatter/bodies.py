"""
What a body has that only its own tool can run: shortcodes, Liquid, JSX, attributes of kramdown.

Armo runs none of it. What means the same for every reader is written as Markdown: blocks of
highlighted code, what is marked as raw, comments, the site's own address. The rest is counted.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from content.frontmatter.reading import Reading, Shortcodes, Tool
from content.frontmatter.reasons import reason
from scheduling.errors import Reason

# Where something may begin that is not plain text. What ends it is searched from there.
_OPENING = re.compile(
    r"""
    ^ (?P<fence_indent> (?: [ \t>] | [-*+][ ] | \d+[.)][ ] )* ) (?P<fence> `{3,} | ~{3,} )
    | (?P<ticks> `+ )
    | (?P<comment> <!-- )
    | (?P<shortcode> \{\{[<%] )
    | (?P<output> \{\{ )
    | (?P<tag> \{% )
    | (?P<attributes>
        \{ ::? [^{}\n]{0,500} \}
        # From the first of many spaces only, or each would look at all after it.
        | (?<![ ]) [ ]* \{ [.\#] [\w-] [^{}\n]{0,500} \} (?= [ ]*$ )
    )
    | (?P<mdx_comment> \{/\* )
    | (?P<expression> \{ )
    """,
    re.MULTILINE | re.VERBOSE,
)
_RAW = re.compile(r"\{%-?\s*(?:end)?raw\s*-?%\}")
_HAS_LIQUID = {Tool.JEKYLL, Tool.HEXO, Tool.UNKNOWN}
_HAS_TAGS = {*_HAS_LIQUID, Tool.ZOLA}
_HAS_SHORTCODES = {Tool.HUGO, Tool.UNKNOWN}
_HAS_ATTRIBUTES = {Tool.JEKYLL, Tool.HUGO, Tool.ZOLA, Tool.UNKNOWN}
_CODE_BLOCKS = {"highlight", "codeblock"}
# They stand for the address of another page of the site.
_REFERENCES = {"ref", "relref", "post_url", "link"}
# What stands inside these may be meant for nobody.
_CONDITIONS = {"{% if %}", "{% unless %}", "{% case %}", "{% for %}", "{% capture %}"}

# What cleaning removes, with what is inside.
_EMBED = re.compile(
    r"<(iframe|video|audio|object|embed|script|style|form|input|button|select|textarea|svg|canvas"
    r"|frameset|math|applet|noscript|[A-Z][\w.]*)(?=[\s/>])"
)
_PICTURE = re.compile(
    r"!\[[^\]\n]{0,500}\]\(\s{0,5}<?([^\s)>]+)|<img\s[^>]{0,500}?src\s{0,5}=\s{0,5}[\"']?([^\"'\s>]+)",
    re.IGNORECASE,
)
_LINK = re.compile(
    r"\]\(\s{0,5}<?([^\s)>]+)|<a\s[^>]{0,500}?href\s{0,5}=\s{0,5}[\"']?([^\"'\s>]+)"
    r"|^ {0,3}\[[^\]\n]{1,500}\]:\s{0,5}<?(\S+)",
    re.IGNORECASE | re.MULTILINE,
)
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//|#|\{|%7b", re.IGNORECASE)
# `import` and `export` at the start of a paragraph, up to its end.
_MODULE = re.compile(r"(?:(?<=\n\n)|\A)(?:(?:import|export)\b[^\n]*\n?(?:(?!\n)[^\n]+\n?)*)", re.M)


def translate(text: str, *, reading: Reading, is_mdx: bool = False) -> tuple[str, list[Reason]]:
    """Return a body without what only its tool can run, and what that was."""
    body = _Body(text, reading=reading, is_mdx=is_mdx)
    body.read()
    if reading.shortcodes == Shortcodes.DROP and body.code.keys() & _CONDITIONS:
        # Without its conditions a text might show what its tool never did.
        body = _Body(text, reading=replace(reading, shortcodes=Shortcodes.DRAFT), is_mdx=is_mdx)
        body.read()
    return "".join(body.kept).strip("\n").rstrip(), body.find_notes()


def is_held_back(notes: list[Reason]) -> bool:
    """Return whether readers would see code that its tool replaces."""
    return any(note.code == "code_draft" for note in notes)


class _Body:
    def __init__(self, text: str, *, reading: Reading, is_mdx: bool) -> None:
        self.text = _MODULE.sub("", text) if is_mdx else text
        self.reading = reading
        self.is_mdx = is_mdx
        self.kept: list[str] = []
        self.prose: list[str] = []  # without code
        self.code: Counter[str] = Counter()  # that only the tool can run
        self.translated: Counter[str] = Counter()
        self.attributes = 0
        self._position = 0
        self._missing: set[str] = set()  # ends that do not come any more

    def read(self) -> None:
        """Go through the text once."""
        tool = self.reading.tool
        handlers: dict[str, Callable[[re.Match[str]], None]] = {
            "fence": self._read_fence,
            "ticks": self._read_ticks,
            "comment": self._read_comment,
        }
        if tool in _HAS_SHORTCODES:
            handlers["shortcode"] = self._read_shortcode
        if tool in _HAS_TAGS:
            handlers |= {"output": self._read_output, "tag": self._read_tag}
        if tool in _HAS_ATTRIBUTES:
            handlers["attributes"] = self._read_attributes
        if self.is_mdx:
            handlers |= {"mdx_comment": self._read_mdx_comment, "expression": self._read_expression}
        while found := _OPENING.search(self.text, self._position):
            self._keep(self.text[self._position : found.start()])
            self._position = found.end()
            kind = str(found.lastgroup)
            if kind == "shortcode" and kind not in handlers and "output" in handlers:
                kind, self._position = "output", found.start() + 2
            if kind in handlers:
                handlers[kind](found)
            else:
                self._keep(found[0])
        self._keep(self.text[self._position :])

    def find_notes(self) -> list[Reason]:
        """Return what a person should know, once for each kind."""
        notes = []
        if self.code:
            kind = {
                Shortcodes.KEEP: "code_kept",
                Shortcodes.DROP: "code_dropped",
                Shortcodes.DRAFT: "code_draft",
            }[self.reading.shortcodes]
            notes.append(reason(kind, names=_list(self.code), count=self.code.total()))
        if self.translated:
            notes.append(
                reason(
                    "code_translated", names=_list(self.translated), count=self.translated.total()
                )
            )
        if self.attributes:
            notes.append(reason("attributes", count=self.attributes))
        prose = "".join(self.prose)
        if embeds := Counter(f"<{name}>" for name in _EMBED.findall(prose)):
            notes.append(reason("embeds", names=_list(embeds), count=embeds.total()))
        pictures = _count_local(_PICTURE, prose)
        if pictures:
            notes.append(reason("local_pictures", count=pictures))
        # `](` is part of a picture, too.
        links = _count_local(_LINK, _PICTURE.sub("", prose))
        if links:
            notes.append(reason("local_links", count=links))
        return notes

    # Parts

    def _read_fence(self, found: re.Match[str]) -> None:
        mark = found["fence"]
        end = re.compile(rf"^[ \t>]*{mark[0]}{{{len(mark)},}}[ \t]*$", re.MULTILINE)
        closing = end.search(self.text, self._position) if mark not in self._missing else None
        if closing is None:
            self._missing.add(mark)
        stop = closing.end() if closing else len(self.text)
        self._keep_code(self._unmark(self.text[found.start() : stop]))
        self._position = stop

    def _read_ticks(self, found: re.Match[str]) -> None:
        window = self.text[self._position : self._position + 2_000].partition("\n\n")[0]
        closing = re.search(rf"(?<!`){found[0]}(?!`)", window)
        stop = self._position + (closing.end() if closing else 0)
        self._keep_code(self._unmark(self.text[found.start() : stop]))
        self._position = stop

    def _unmark(self, code: str) -> str:
        """Return code without Liquid's marks for what it is to leave alone."""
        return _RAW.sub("", code) if self.reading.tool in _HAS_LIQUID else code

    def _read_comment(self, found: re.Match[str]) -> None:
        inner = self._take_until("-->")
        self._keep_code(found[0] if inner is None else f"<!--{inner}-->")

    def _read_shortcode(self, found: re.Match[str]) -> None:
        sign = ">" if found[0][-1] == "<" else "%"
        inner = self._take_until(f"{sign}}}}}")
        if inner is None:
            self._keep(found[0])
            return
        whole = f"{found[0]}{inner}{sign}}}}}"
        escaped = re.fullmatch(r"\s*/\*(.*)\*/\s*", inner, re.DOTALL)
        if escaped:
            self._keep_code(f"{found[0]}{escaped[1]}{sign}}}}}")
            return
        words = inner.strip(" -/\n").split()
        name = words[0] if words else ""
        is_end = inner.strip()[:1] == "/"
        end = rf"\{{\{{[<%]-?\s*/\s*{re.escape(name)}\s*-?[>%]\}}\}}"
        if is_end or not (
            self._read_pair(name, words[1:], end, f"{{{{< {name} >}}}}")
            or self._read_reference(name, words[1:])
        ):
            self._count(f"{found[0]} {name} {sign}}}}}", whole, is_end=is_end)

    def _read_output(self, found: re.Match[str]) -> None:
        inner = self._take_until("}}")
        if inner is None:
            self._keep("{{")
            return
        whole = f"{{{{{inner}}}}}"
        if self.reading.tool == Tool.ZOLA:
            if escaped := re.fullmatch(r"/\*(.*)\*/", inner, re.DOTALL):
                self._keep_code(f"{{{{{escaped[1]}}}}}")
            elif call := re.match(r"\s*([\w:]+)\s*\(", inner):
                self._count(f"{{{{ {call[1]}() }}}}", whole)
            else:
                self._keep(whole)
            return
        value = self._evaluate(inner.strip(" -\n"))
        if value is None:
            self._count("{{ … }}", whole)
        elif self.reading.shortcodes == Shortcodes.KEEP:
            self._keep(whole)
        else:
            self._keep(value)

    def _evaluate(self, expression: str) -> str | None:
        """Return the text of an expression that is an address of the site; None of any other."""
        first, *filters = (part.strip() for part in expression.split("|"))
        if quoted := re.fullmatch(r"\"([^\"]*)\"|'([^']*)'", first):
            value = quoted[1] or quoted[2] or ""
        elif first in self.reading.variables:
            value = self.reading.variables[first]
        else:
            return None
        for each in filters:
            name, _colon, argument = (part.strip() for part in each.partition(":"))
            if name in ("relative_url", "absolute_url"):
                base = self.reading.variables.get("site.baseurl", "")
                host = self.reading.variables.get("site.url", "")
                value = (host if name == "absolute_url" else "") + base + value
                continue
            if name in ("escape", "strip", "uri_escape"):
                continue
            if name not in ("prepend", "append") or argument not in self.reading.variables:
                return None
            other = self.reading.variables[argument]
            value = other + value if name == "prepend" else value + other
        return value

    def _read_tag(self, found: re.Match[str]) -> None:
        inner = self._take_until("%}")
        if inner is None:
            self._keep(found[0])
            return
        whole = f"{{%{inner}%}}"
        words = inner.strip(" -\n").split()
        name = words[0].partition("(")[0] if words else ""
        if self.reading.tool == Tool.ZOLA:
            if escaped := re.fullmatch(r"/\*(.*)\*/", inner, re.DOTALL):
                self._keep_code(f"{{%{escaped[1]}%}}")
            else:
                self._count(f"{{% {name} %}}", whole, is_end=name == "end")
            return
        languages = [word.removeprefix("lang:") for word in words[1:]]
        end = rf"\{{%-?\s*end{re.escape(name)}\s*-?%\}}"
        if not (
            self._read_pair(name, languages, end, f"{{% {name} %}}")
            or self._read_reference(name, words[1:])
        ):
            self._count(f"{{% {name} %}}", whole, is_end=name.startswith("end"))

    def _read_pair(self, name: str, words: list[str], end: str, shown: str) -> bool:
        """Take what stands between two marks; return whether it means the same without its tool."""
        if name not in ("raw", "comment", *_CODE_BLOCKS):
            return False
        inner = self._take_up_to(end)
        if inner is None:
            return False
        if name == "raw":
            self._keep_code(inner)
        elif name != "comment":
            self._keep_code_block(inner, words[0] if words else "")
            self.translated[shown] += 1
        return True

    def _read_reference(self, name: str, words: list[str]) -> bool:
        """Keep the address of a reference; return whether it is one."""
        if name not in _REFERENCES or len(words) != 1:
            return False
        self._keep(words[0].strip("\"'"))
        return True

    def _keep_code_block(self, code: str, language: str) -> None:
        language = language if re.fullmatch(r"[\w+#.-]+", language) else ""
        fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", code))])
        start = "" if not self.kept or self.kept[-1].endswith("\n") else "\n"
        code = code.strip("\n")
        self._keep_code(f"{start}{fence}{language}\n{code}\n{fence}\n")

    def _read_attributes(self, found: re.Match[str]) -> None:
        if found[0].startswith("{::comment") and not found[0].endswith("/}"):
            self._take_up_to(r"\{:/(?:comment)?\}")
            return
        self.attributes += 1
        if self.reading.shortcodes == Shortcodes.KEEP:
            self._keep(found[0])

    def _read_mdx_comment(self, found: re.Match[str]) -> None:
        if self._take_until("*/}") is None:
            self._keep(found[0])

    def _read_expression(self, found: re.Match[str]) -> None:
        inner = self._take_until("}")
        self._count("{…}", found[0] if inner is None else f"{{{inner}}}")

    # Text

    def _keep(self, text: str) -> None:
        self.kept.append(text)
        self.prose.append(text)

    def _keep_code(self, text: str) -> None:
        self.kept.append(text)
        self.prose.append(" ")

    def _count(self, shown: str, whole: str, *, is_end: bool = False) -> None:
        if not is_end:
            self.code[shown] += 1
        if self.reading.shortcodes != Shortcodes.DROP:
            self._keep_code(whole)

    def _take_until(self, end: str) -> str | None:
        """Return the text up to an end, and go past it; None if it does not come."""
        if end in self._missing:
            return None
        stop = self.text.find(end, self._position)
        if stop < 0:
            self._missing.add(end)
            return None
        inner = self.text[self._position : stop]
        self._position = stop + len(end)
        return inner

    def _take_up_to(self, end: str) -> str | None:
        """Return the text up to an end, a pattern, and go past it; None if it does not come."""
        found = None if end in self._missing else re.compile(end).search(self.text, self._position)
        if found is None:
            self._missing.add(end)
            return None
        inner = self.text[self._position : found.start()]
        self._position = found.end()
        return inner


def _list(counts: Counter[str]) -> str:
    """Return names with their counts, the most frequent first."""
    shown = [f"{count} × {name}" for name, count in counts.most_common(5)]
    return ", ".join(shown) + (", …" if len(counts) > 5 else "")


def _count_local(pattern: re.Pattern[str], text: str) -> int:
    """Count the addresses that are within the site."""
    found = (next(filter(None, match.groups()), "") for match in pattern.finditer(text))
    return sum(1 for address in found if address and not _ELSEWHERE.match(address))


def wrap_html(text: str) -> str:
    """
    Return HTML as Markdown that renders to the same.

    A blank line would end HTML in Markdown, and indented lines after it would be code.
    """
    kept = []
    in_pre, blank_lines = False, 0
    for line in text.split("\n"):
        was_in_pre, lower = in_pre, line.lower()
        if "<pre" in lower or "</pre" in lower:
            in_pre = lower.rfind("<pre") > lower.rfind("</pre")
        if not line.strip():
            blank_lines += was_in_pre
        else:
            kept.append("&#10;" * blank_lines + (line if was_in_pre else line.lstrip()))
            blank_lines = 0
    return "\n".join(["<div>", *kept, "</div>"]) if kept else ""
