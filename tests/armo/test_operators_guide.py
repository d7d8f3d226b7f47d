"""The operator's guide: what it names exists, and its examples are accepted."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = [DOCS / "operating.md", DOCS / "failover.md", *sorted((DOCS / "operating").glob("*.md"))]
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


def named(pattern: str, *pages: Path) -> Iterator[tuple[str, str]]:
    """Yield what the pages name, with the page."""
    for page in pages:
        for found in re.finditer(pattern, page.read_text()):
            yield found[1], page.name


def options_of(command: BaseCommand) -> set[str]:
    """Return each option by its longest spelling."""
    actions = command.create_parser("manage.py", "x")._actions
    return {max(it.option_strings, key=len) for it in actions if it.option_strings}


class TestTheReadme:
    @pytest.mark.parametrize("name", ["README.md", "README.ko.md"])
    def test_names_each_option_of_each_command(self, name: str) -> None:
        rows = re.findall(r"^\| (`.*`) \| .* \|$", (DOCS.parent / name).read_text(), re.MULTILINE)
        usages = [it for row in rows for it in re.findall(r"`([a-z_]+[^`]*)`", row)]
        named: dict[str, set[str]] = {}
        for usage in usages:
            found = re.findall(r"--[a-z-]+", usage.replace("-n LANE", "--name"))
            named.setdefault(usage.split()[0], set()).update(found)

        exist = {
            it: options_of(load_command_class(get_commands()[it], it)) - options_of(BaseCommand())
            for it in named
        }

        assert len(named) > 15
        assert named == exist


class TestTheGuide:
    def test_names_commands_that_exist(self) -> None:
        found = set(named(r"manage\.py ([a-z_]+)", *GUIDE))

        assert len(found) > 30
        assert {it for it in found if it[0] not in get_commands()} == set()

    def test_names_settings_that_exist(self) -> None:
        example = (DOCS.parent / ".env.example").read_text()
        found = set(named(r"`([A-Z]+(?:_[A-Z]+)+)(?:=[^`]*)?`", DOCS / "operating" / "settings.md"))

        assert len(found) > 20
        assert {it for it in found if f"{it[0]}=" not in example} == set()

    @pytest.mark.skipif(not (NGINX and shutil.which("openssl")), reason="needs nginx, openssl")
    def test_has_an_example_that_nginx_accepts(self, tmp_path: Path) -> None:
        example = re.search(r"```nginx\n(.*?)```", (DOCS / "operating/web.md").read_text(), re.S)
        assert example is not None
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x"]
        made += ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "cert")]
        subprocess.run(made, check=True, capture_output=True)
        # Who is not root may not listen there.
        server = re.sub(
            r"listen (\d+)", lambda it: f"listen 127.0.0.1:{20_000 + int(it[1])}", example[1]
        )
        for directive, value in (("", "cert"), ("_key", "key")):
            pattern = rf"(ssl_certificate{directive}) .*;"
            server, number = re.subn(pattern, rf"\1 {tmp_path / value};", server)
            assert number == 1
        paths = "".join(
            f"{it}_temp_path {tmp_path / it};"
            for it in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        conf = tmp_path / "nginx.conf"
        conf.write_text(
            f"pid {tmp_path / 'pid'}; error_log stderr; events {{}}"
            f" http {{ access_log off; {paths} {server} }}"
        )

        done = subprocess.run(
            [str(NGINX), "-t", "-c", str(conf)], capture_output=True, text=True, check=False
        )

        assert done.returncode == 0, done.stderr
