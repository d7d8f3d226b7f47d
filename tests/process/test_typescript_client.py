"""The TypeScript client: made from the document, small, and right on a real site."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from django.conf import global_settings
from django.contrib.auth.models import Group, User

from tests.process.conftest import StartWorker
from tests.process.web import serving
from tests.process.worker import PROJECT

CLIENT = PROJECT / "clients" / "typescript"
PROGRAMS = PROJECT / "node_modules" / ".bin"
PASSWORD = "열려라 참깨 42"
MOST_BYTES = 15_000

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not (PROGRAMS / "esbuild").exists(),
    reason="No Node, or not what it needs: `make browser` installs the latter.",
)


def run(*command: str | Path, **env: str) -> str:
    """Run a program, and return what it has printed; fail when it fails."""
    done = subprocess.run(
        command,
        cwd=CLIENT,
        env={**os.environ, **env},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the client with its tests; this is the test of its types."""
    folder = tmp_path_factory.mktemp("client")
    run(PROGRAMS / "tsc", "--project", ".", "--outDir", folder)
    (folder / "package.json").write_text('{"type": "module"}')
    return folder / "test"


class TestTheTypeScriptClient:
    def test_has_the_types_of_the_document(self, tmp_path: Path) -> None:
        made = tmp_path / "schema.ts"

        run(PROGRAMS / "openapi-typescript", PROJECT / "docs" / "openapi.yaml", "--output", made)

        kept = CLIENT / "src" / "schema.ts"
        assert made.read_text() == kept.read_text(), "`make schema` writes it anew."

    def test_compiles_what_its_readme_shows(self, tmp_path: Path) -> None:
        shown = re.findall("```typescript\n(.*?)```", (CLIENT / "README.md").read_text(), re.DOTALL)
        (tmp_path / "shown.ts").write_text("".join(shown))
        (tmp_path / "package.json").write_text('{"type": "module"}')
        config = {
            "extends": f"{CLIENT}/tsconfig.json",
            "compilerOptions": {
                "paths": {"armo-client": [f"{CLIENT}/src/index.ts"]},
                "rootDir": "/",
                "types": [],
            },
            "include": ["."],
        }
        (tmp_path / "tsconfig.json").write_text(json.dumps(config))

        run(PROGRAMS / "tsc", "--project", tmp_path, "--noEmit")

    def test_is_small_and_needs_nothing_else(self, tmp_path: Path) -> None:
        made = tmp_path / "armo.js"

        options = ("--bundle", "--minify", "--format=esm", "--platform=neutral")
        run(PROGRAMS / "esbuild", "src/index.ts", *options, f"--outfile={made}")

        assert made.stat().st_size < MOST_BYTES

    def test_takes_whatever_is_answered(self, compiled: Path) -> None:
        tests = [compiled / f"{name}.test.js" for name in ("client", "time")]

        assert "# fail 0" in run("node", "--test", "--test-reporter=tap", *tests)

    def test_does_a_days_work(
        self,
        compiled: Path,
        transactional_db: None,
        settings: Any,
        start_worker: StartWorker,
        tmp_path: Path,
    ) -> None:
        settings.PASSWORD_HASHERS = global_settings.PASSWORD_HASHERS  # as the web process has
        user = User.objects.create_user("editor", password=PASSWORD)
        user.groups.add(Group.objects.get(name="Editors"))
        start_worker()

        with serving(tmp_path / "web.log") as web:
            site = {"ARMO_SITE": web.url, "ARMO_USER": "editor", "ARMO_PASSWORD": PASSWORD}
            printed = run(
                "node", "--test", "--test-reporter=tap", compiled / "armo.test.js", **site
            )

        assert "# fail 0" in printed
        assert "# skipped 0" in printed
