"""Clients that public generators make from docs/openapi.yaml, on real processes."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import global_settings
from django.contrib.auth.models import Group, User

from scheduling.models.clock import database_now
from tests.database_rows import failed_publish
from tests.factories import FAR_OFF, StoryFactory
from tests.process.conftest import StartWorker
from tests.process.web import serving
from tests.process.worker import PROJECT, wait_until

DOCUMENT = PROJECT / "docs" / "openapi.yaml"
GUIDE = PROJECT / "docs" / "api.md"
CLIENTS = Path(__file__).parent / "clients"
NODE_MODULES = PROJECT / "node_modules"
# As the guide has it.
PACKAGE = "armo_client"
PASSWORD = "열려라 참깨 42"

# A module of the generated client, by its path inside it: what is in there, no checker can know.
Client = Callable[[str], Any]
Connect = Callable[..., Any]


def run(*command: str, folder: Path) -> str:
    """Run a program in a folder, and return what it has printed; fail when it fails."""
    done = subprocess.run(
        command, cwd=folder, check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def generate(folder: Path) -> None:
    """Make the client; fail when the generator has left anything out."""
    config = folder / "generator.yaml"
    config.write_text("post_hooks: []\n")  # they lay the code out, for people to read
    done = subprocess.run(
        [
            *(sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"),
            *("--path", str(DOCUMENT), "--config", str(config)),
            *("--output-path", str(folder / PACKAGE), "--fail-on-warning"),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split("\n") == [f"Generating {folder / PACKAGE}", ""]
    assert done.stderr == ""


def forget() -> None:
    """Have the next test import its own."""
    for name in [it for it in sys.modules if it.split(".")[0] == PACKAGE]:
        del sys.modules[name]


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Have what is in the folder found by its name, until the block ends."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        forget()


@pytest.fixture
def client_module(tmp_path: Path) -> Iterator[Client]:
    """Make the client, and import parts of it."""
    folder = tmp_path / "made"
    folder.mkdir()
    generate(folder)
    with importable(folder):
        yield lambda path: import_module(f"{PACKAGE}.{path}")


@pytest.fixture
def editor(transactional_db: None, settings: Any) -> User:
    """Return an editor who also runs jobs again; the web process can check their password."""
    settings.PASSWORD_HASHERS = global_settings.PASSWORD_HASHERS
    user = User.objects.create_user("editor", password=PASSWORD)
    user.groups.add(*Group.objects.filter(name__in=["Editors", "Operators"]))
    return user


@pytest.fixture
def connect(client_module: Client, tmp_path: Path, transactional_db: None) -> Iterator[Connect]:
    """Return connections to a web process: as nobody, or as who has the token."""
    made = client_module("client")
    with ExitStack() as stack:
        web = stack.enter_context(serving(tmp_path / "web.log"))

        def opened(token: str = "") -> Any:
            how = {"base_url": web.url, "raise_on_unexpected_status": True}
            kind = made.AuthenticatedClient(**how, token=token) if token else made.Client(**how)
            return stack.enter_context(kind)

        yield opened


def log_in(client_module: Client, connect: Connect) -> Any:
    """Return a connection with a token that was asked for."""
    credentials = client_module("models").LoginInputRequest(username="editor", password=PASSWORD)
    answer = client_module("api.auth.log_in").sync(client=connect(), body=credentials)
    assert isinstance(answer, client_module("models").TokenOutput), answer
    assert answer.username == "editor"
    return connect(answer.token)


class TestTheGeneratedClient:
    def test_has_every_operation_and_every_schema(self, client_module: Client) -> None:
        document = yaml.safe_load(DOCUMENT.read_text())
        operations = [it for methods in document["paths"].values() for it in methods.values()]

        modules = [client_module(f"api.{it['tags'][0]}.{it['operationId']}") for it in operations]

        assert len(modules) > 30
        assert all(callable(module.sync_detailed) for module in modules)
        # "Or null" needs no class of its own.
        schemas = set(document["components"]["schemas"]) - {"NullEnum"}
        assert schemas <= set(client_module("models").__all__)

    def test_writes_a_story_and_sees_it_go_live(
        self, client_module: Client, connect: Connect, editor: User, start_worker: StartWorker
    ) -> None:
        start_worker()
        models, stories = client_module("models"), "api.stories"
        mine, nobodys = log_in(client_module, connect), connect()

        story = client_module(f"{stories}.create_story").sync(
            client=mine,
            body=models.StoryInputRequest(
                title="봄이 오는 소리", body="눈이 **녹는다**.", language="ko", tags=["봄", "날씨"]
            ),
        )
        assert isinstance(story, models.StoryOutput), story
        moment = database_now() + timedelta(seconds=2)
        job = client_module(f"{stories}.schedule_story").sync(
            id=story.id,
            client=mine,
            body=models.ScheduleInputRequest(publish_at=moment, reason="제시간에"),
        )
        assert isinstance(job, models.JobOutput), job

        def read() -> Any:
            return client_module(f"{stories}.get_story").sync_detailed(id=story.id, client=nobodys)

        before = read()
        assert (before.status_code, before.parsed.code) == (404, models.ProblemCode.NOT_FOUND)
        # Fewer requests than one without a login may send in a minute.
        wait_until(lambda: read().status_code == 200, seconds=7, what="the story is live")

        live = read()
        assert isinstance(live.parsed, models.StoryOutput)
        assert live.parsed.status == models.Status.PUBLISHED
        assert live.parsed.title == "봄이 오는 소리"
        assert live.parsed.body_html == "<p>눈이 <strong>녹는다</strong>.</p>\n"
        assert live.parsed.tags == ["날씨", "봄"]
        assert live.parsed.publish_at == moment
        assert moment <= live.parsed.published_at <= moment + timedelta(seconds=1)
        known = client_module(f"{stories}.get_story").sync_detailed(
            id=story.id, client=nobodys, if_none_match=live.headers["ETag"]
        )
        assert (known.status_code, known.content) == (304, b"")

        page = client_module("api.jobs.list_jobs").sync(client=mine, item=f"story:{story.id}")
        assert isinstance(page, models.PaginatedJobOutputList), page
        assert [(it.id, it.state) for it in page.results] == [(job.id, models.State.SUCCEEDED)]
        found = client_module("api.jobs.get_job").sync(id=job.id, client=mine)
        assert isinstance(found, models.JobDetail), found
        assert found.scheduled_by == "editor"
        assert [event.what for event in found.events] == [
            models.What.SCHEDULED,
            models.What.SUCCEEDED,
        ]
        assert found.events[0].reason == "제시간에"

    def test_moves_if_unchanged_runs_again_and_deletes(
        self, client_module: Client, connect: Connect, editor: User
    ) -> None:
        models = client_module("models")
        failed, story = failed_publish(), StoryFactory(scheduled=True)
        mine = log_in(client_module, connect)
        [job] = (
            client_module("api.jobs.list_jobs").sync(client=mine, item=f"story:{story.pk}").results
        )
        move = client_module("api.jobs.move_job").sync_detailed
        seen = client_module("api.jobs.get_job").sync_detailed(job.id, client=mine)
        body = models.MoveInputRequest(run_at=FAR_OFF + timedelta(days=1))

        first, second = [
            move(job.id, client=mine, body=body, if_match=seen.headers["ETag"]) for _ in range(2)
        ]
        again = client_module("api.jobs.rerun_jobs").sync(
            client=mine, body=models.RerunInputRequest(ids=[failed.pk])
        )
        deleted = client_module("api.stories.delete_story").sync_detailed(story.pk, client=mine)

        assert first.parsed.run_at == FAR_OFF + timedelta(days=1)
        assert (second.status_code, second.parsed.code) == (
            412,
            models.ProblemCode.VERSION_CONFLICT,
        )
        assert again.summary.rerun == 1
        assert deleted.status_code == 204

    def test_meets_a_refusal_as_a_problem(
        self, client_module: Client, connect: Connect, editor: User
    ) -> None:
        models, stories = client_module("models"), "api.stories"
        mine = log_in(client_module, connect)
        story = client_module(f"{stories}.create_story").sync(
            client=mine, body=models.StoryInputRequest(title="어제 쓴 글", body="늦었다.")
        )

        with mine.with_headers({"Accept-Language": "ko"}) as korean:
            answer = client_module(f"{stories}.schedule_story").sync_detailed(
                id=story.id,
                client=korean,
                body=models.ScheduleInputRequest(publish_at=datetime(2020, 2, 29, 12, tzinfo=UTC)),
            )

        assert answer.status_code == 400
        assert isinstance(answer.parsed, models.Problem)
        assert answer.parsed.code == models.ProblemCode.NOT_IN_FUTURE
        assert answer.parsed.status == 400
        assert answer.parsed.title == "이미 지난 시각입니다."

    def test_passes_mypy_with_the_guide_s_example(self, tmp_path: Path) -> None:
        generate(tmp_path)
        [example] = re.findall("```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
        (tmp_path / "example.py").write_text(example)
        (tmp_path / "mypy.ini").write_text("[mypy]\n")  # its defaults, not those of the project

        printed = run(sys.executable, "-m", "mypy", PACKAGE, "example.py", folder=tmp_path)

        assert printed.startswith("Success: no issues found in")


MAKE_TYPESCRIPT = {
    "with_openapi_fetch": ("openapi-typescript", str(DOCUMENT), "--output", "schema.d.ts"),
    "with_hey_api": ("openapi-ts", "--input", str(DOCUMENT), "--silent"),
}
HEY_API = 'export default { output: { path: "made", module: { extension: ".js" } } };'
TSCONFIG = {
    "compilerOptions": {
        "strict": True,
        "noUncheckedIndexedAccess": True,  # as openapi-typescript advises
        "target": "es2022",
        "module": "nodenext",
    }
}


@pytest.mark.skipif(
    shutil.which("node") is None or not (NODE_MODULES / "@hey-api").exists(),
    reason="No generators of TypeScript: `make browser` installs them, where Node is.",
)
class TestATypeScriptClient:
    @pytest.mark.parametrize("name", MAKE_TYPESCRIPT)
    def test_compiles_strictly_and_does_a_day_s_work(
        self, name: str, tmp_path: Path, editor: User, start_worker: StartWorker
    ) -> None:
        failed_publish()
        folder = tmp_path / "typescript"
        folder.mkdir()
        (folder / "node_modules").symlink_to(NODE_MODULES)
        (folder / "package.json").write_text('{"type": "module"}')
        (folder / "tsconfig.json").write_text(json.dumps(TSCONFIG))
        (folder / "openapi-ts.config.mjs").write_text(HEY_API)
        shutil.copy(CLIENTS / f"{name}.ts", folder)
        if name == "with_openapi_fetch":
            [example] = re.findall("```typescript\n(.*?)```", GUIDE.read_text(), re.DOTALL)
            (folder / "example.ts").write_text(example)
        generator, *options = MAKE_TYPESCRIPT[name]
        run(f"node_modules/.bin/{generator}", *options, folder=folder)
        run("node_modules/.bin/tsc", folder=folder)
        start_worker()
        with serving(tmp_path / "web.log") as web:
            printed = run("node", f"{name}.js", web.url, "editor", PASSWORD, folder=folder)

        assert json.loads(printed) == {
            "html": "<p>눈이 <strong>녹는다</strong>.</p>\n",
            "rerun": 1,
            "deleted": 204,
            "then": "not_found",
        }
