"""
Hooks of MkDocs: the pages of the repository, as GitHub shows them, are those of the site.

Pages outside docs/ take part under their own path, README.md as the first page. Links to files
that are no part of the site, as to source code, become their text.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

PROJECT = Path(__file__).resolve().parent.parent
DOCS = "docs/"
FIRST = "README.md"
OUTSIDE = (
    *("README.md", "README.ko.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"),
    *("clients/typescript/README.md", "examples/reader/README.md"),
)
DECISIONS = "adr/index.md"
# From npm, so that the page fetches nothing from another host; without it diagrams are their text.
MERMAID = PROJECT / "node_modules" / "@mermaid-js" / "tiny" / "dist" / "mermaid.tiny.js"

LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
FENCE = re.compile(r"^( *(?:```|~~~)).*?^\1", re.MULTILINE | re.DOTALL)
LIST = re.compile(r"^(?![-*] |\d+\. |#|\s|$)(.+)\n((?:[-*]|1\.) )", re.MULTILINE)


def site_path(path: str) -> str:
    """Return where a file of the repository is in the site's sources."""
    return "index.md" if path == FIRST else path.removeprefix(DOCS)


def repository_path(path: str) -> str:
    """Return where a page's text is in the repository."""
    return FIRST if path == "index.md" else path if path in OUTSIDE else DOCS + path


def decisions() -> str:
    """Return the page that lists all decisions, the newest first."""
    lines = ["# Decisions", "", "Choices that are hard to take back, and why they were made.", ""]
    for file in sorted((PROJECT / "docs" / "adr").glob("0*.md"), reverse=True):
        title = file.read_text().split("\n", 1)[0].removeprefix("# ")
        lines.append(f"- [{title}]({file.name})")
    return "\n".join(lines)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages outside docs/, the list of decisions, and what draws diagrams."""
    for path in OUTSIDE:
        content = (PROJECT / path).read_text()
        files.append(File.generated(config, site_path(path), content=content))
    files.append(File.generated(config, DECISIONS, content=decisions()))
    if MERMAID.exists():
        config["extra_javascript"].append("mermaid.js")
        files.append(File.generated(config, "mermaid.js", abs_src_path=str(MERMAID)))
    return files


def on_page_markdown(text: str, *, page: Any, config: Any, files: Files) -> str:
    """Have links and lists mean what they mean on GitHub."""
    here = posixpath.dirname(repository_path(page.file.src_uri))
    there = posixpath.dirname(page.file.src_uri)

    def in_site(match: re.Match[str]) -> str:
        image, label, target = match.groups()
        path, _, anchor = target.partition("#")
        if not path or re.match(r"[a-z]+:|/", path):
            return match[0]
        named = posixpath.normpath(posixpath.join(here, path))
        if named == "docs/adr":
            named = f"docs/{DECISIONS}"
        if (found := files.get_file_from_path(site_path(named))) is None:
            exists = (PROJECT / named).exists()
            return label if exists and not image else match[0]
        relative = posixpath.relpath(found.src_uri, there or ".")
        return f"{image}[{label}]({relative}{'#' + anchor if anchor else ''})"

    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(match[0])
        return f"\0{len(kept) - 1}\0"

    text = FENCE.sub(keep, text)
    text = LINK.sub(in_site, text)
    text = LIST.sub(r"\1\n\n\2", text)
    return re.sub("\0(\\d+)\0", lambda match: kept[int(match[1])], text)
