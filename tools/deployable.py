"""
Check the files for deploying: `make deployable`.

First by their own linters; then by what can be run without a daemon or a cloud: the very commands
that they name, in a copy of what the image has, with what requirements.txt installs and nothing
else, on a PostgreSQL whose role owns only its database.
"""

import json
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import yaml

PROJECT = Path(__file__).resolve().parents[1]
UNITS = PROJECT / "deploy" / "systemd"
# Seconds that a process may take to end: all grace periods in the files are longer.
GRACE_SECONDS = 30
SOON = """
from datetime import timedelta
from django.utils.timezone import now
from content.models import Story
story = Story(title="배포", body="It is live.", slug="deployed", status="scheduled")
story.publish_at = now() + timedelta(seconds=2)
story.save()
"""

Commands = dict[str, list[str]]


class Unfit(Exception):
    """A file does not do what it is for; the message says which, and why."""


# What the files say


def read(name: str) -> str:
    """Return the text of a file of the project."""
    return (PROJECT / name).read_text()


def manifests() -> list[dict[str, Any]]:
    """Return the objects of the Kubernetes example."""
    return list(yaml.safe_load_all(read("deploy/kubernetes.yaml")))


def commands() -> dict[str, Commands]:
    """Return, for each file, the command that it gives each part of Armo, as words."""
    procfile = dict(line.split(": ", 1) for line in read("Procfile").splitlines())
    compose = yaml.safe_load(read("compose.yaml"))["services"]
    fly = tomllib.loads(read("deploy/fly.toml"))
    units = {
        path.stem.removeprefix("armo-"): re.findall(r"^ExecStart=(.*)", path.read_text(), re.M)[0]
        for path in sorted(UNITS.glob("*.service"))
    }
    pods = {
        it["metadata"]["labels"]["part"]: it["spec"]["template"]["spec"]["containers"][0]["command"]
        for it in manifests()
        if it["kind"] in ("Deployment", "Job")
    }
    found: dict[str, dict[str, str | list[str]]] = {
        "Procfile": {"migrate" if it == "release" else it: procfile[it] for it in procfile},
        "Dockerfile": {"web": json.loads(instruction("CMD"))},
        "compose.yaml": {
            name: service["command"] for name, service in compose.items() if "command" in service
        },
        "fly.toml": {**fly["processes"], "migrate": fly["deploy"]["release_command"]},
        "systemd": {name: line.replace("/srv/armo/.venv/bin/", "") for name, line in units.items()},
        "kubernetes.yaml": pods,
    }
    return {
        name: {part: shlex.split(it) if isinstance(it, str) else it for part, it in parts.items()}
        for name, parts in found.items()
    }


def instruction(name: str) -> str:
    """Return what the last instruction of this name in the Dockerfile says, in one line."""
    text = re.sub(r"\\\n\s*", "", read("Dockerfile"))
    return str(re.findall(rf"^{name} (.*)", text, re.M)[-1])


def health_command() -> list[str]:
    """Return the command of the Dockerfile's HEALTHCHECK."""
    words: list[str] = json.loads(instruction("HEALTHCHECK").partition("CMD ")[2])
    return words


def grace_seconds() -> dict[str, int]:
    """Return how long each platform waits for the web process and the worker to end."""
    compose = yaml.safe_load(read("compose.yaml"))["services"]
    found = {
        f"compose.yaml {name}": int(compose[name]["stop_grace_period"].rstrip("s"))
        for name in ("web", "worker")
    }
    found["fly.toml"] = tomllib.loads(read("deploy/fly.toml"))["kill_timeout"]
    for name in ("web", "worker"):
        text = (UNITS / f"armo-{name}.service").read_text()
        found[f"systemd {name}"] = int(re.findall(r"^TimeoutStopSec=(\d+)", text, re.M)[0])
    for it in manifests():
        if it["kind"] == "Deployment":
            pod = it["spec"]["template"]["spec"]
            found[f"kubernetes.yaml {it['metadata']['name']}"] = pod[
                "terminationGracePeriodSeconds"
            ]
    return found


def image_paths() -> list[str]:
    """Return what the image has of the top of the project."""
    return [line[1:] for line in read(".dockerignore").splitlines() if line.startswith("!")]


# What the linters say


def lint(scratch: Path) -> None:
    """Run the linters of the files, each that can be installed or is there."""
    bin_dir = make_environment(scratch / "linters", "deploy/linters.txt")
    forms = sorted(str(it) for it in (PROJECT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml"))
    compose_dir = scratch / "compose"
    compose_dir.mkdir()
    shutil.copy(PROJECT / "compose.yaml", compose_dir)
    (compose_dir / ".env").write_text(filled_in("postgres://unused"))
    run("Dockerfile", bin_dir / "hadolint", PROJECT / "Dockerfile")
    run("compose.yaml", bin_dir / "docker-compose", "config", "--quiet", cwd=compose_dir)
    kubernetes = bin_dir / "kubernetes-validate"
    run("kubernetes.yaml", kubernetes, "--strict", PROJECT / "deploy" / "kubernetes.yaml")
    check = bin_dir / "check-jsonschema"
    run("templates of issues", check, "--builtin-schema", "vendor.github-issue-forms", *forms)


def lint_units(scratch: Path, app: Path, bin_dir: Path) -> None:
    """Have systemd read its units, with the paths that this check has in place of a site's."""
    if shutil.which("systemd-analyze") is None:
        say("systemd", "skipped, as systemd-analyze is not installed")
        return
    folder = scratch / "units"
    folder.mkdir()
    for unit in UNITS.glob("*.service"):
        text = unit.read_text().replace("/srv/armo/.venv/bin", str(bin_dir))
        (folder / unit.name).write_text(text.replace("/srv/armo", str(app)))
    run("systemd", "systemd-analyze", "verify", *sorted(folder.iterdir()))


# What the commands do


def rehearse(scratch: Path, app: Path, bin_dir: Path) -> None:
    """Build, migrate, serve, publish and stop, by the commands of the files."""
    path = f"{bin_dir}:{os.defpath}"
    building = {"PATH": path, "HOME": str(scratch), "PYTHONDONTWRITEBYTECODE": "1"}
    run("build", "sh", "-c", build_command(), cwd=app, env=building)
    before = {it.relative_to(app) for it in app.rglob("*")}
    parts = commands()
    with database(scratch / "postgres") as url, free_port() as port:
        settings = dict(
            line.split("=", 1) for line in filled_in(url).splitlines() if line[:1].isalpha()
        )
        # For the check of health PORT, and for this machine no other address than its own.
        bind = {"PORT": str(port), "GUNICORN_CMD_ARGS": f"--bind=127.0.0.1:{port}"}
        env = {**building, **settings, **bind, "LOG_FORMAT": "console"}
        run("check --deploy", "python", "manage.py", "check", "--deploy", cwd=app, env=env)
        for name, found in parts.items():
            if "migrate" in found:
                run(f"migrate, as in {name}", *found["migrate"], cwd=app, env=env)
        log = scratch / "log"
        with (
            process("web", parts["Dockerfile"]["web"], log, cwd=app, env=env),
            process("worker", parts["Procfile"]["worker"], log, cwd=app, env=env),
        ):
            wait("the web process", lambda: answers(port, "/health/ready/"))
            run("health check", *health_command(), cwd=app, env=env)
            wait("the worker", lambda: answers(port, "/health/publisher/"))
            run("a story", "python", "manage.py", "shell", "--command", SOON, cwd=app, env=env)
            wait("the story", lambda: answers(port, "/stories/deployed/"))
            page = body_of(port, "/")
        if not re.search(r"/static/content/site\.[0-9a-f]{12}\.css", page):
            raise Unfit("build: the pages name no hashed file; collectstatic has not run")
    if added := {it.relative_to(app) for it in app.rglob("*")} - before:
        raise Unfit(f"a process has written into the image: {', '.join(map(str, added))}")


def build_command() -> str:
    """Return the last command of the image's first stage, which needs no database."""
    text = re.sub(r"\\\n\s*", "", read("Dockerfile"))
    return str(re.findall(r"^RUN (.*manage\.py.*)", text, re.M)[0])


def filled_in(database_url: str) -> str:
    """Return the file of settings of the example as a site would have it."""
    text = read("deploy/env.example")
    text = re.sub(r"^SECRET_KEY=$", f"SECRET_KEY={secrets.token_urlsafe(50)}", text, flags=re.M)
    text = re.sub(r"^POSTGRES_PASSWORD=$", "POSTGRES_PASSWORD=of0no0use", text, flags=re.M)
    return f"{text}\nDATABASE_URL={database_url}\n"


def copy_image(app: Path) -> None:
    """Copy what `.dockerignore` lets into the image."""
    app.mkdir()
    for name in image_paths():
        if (PROJECT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(PROJECT / name, app / name, ignore=ignored)
        else:
            shutil.copy2(PROJECT / name, app / name)


def make_environment(folder: Path, requirements: str) -> Path:
    """Make a virtual environment with what a file names; return where its programs are."""
    run(f"environment for {requirements}", sys.executable, "-m", "venv", folder)
    pip = (folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check")
    run(requirements, *pip, "--requirement", PROJECT / requirements)
    return folder / "bin"


@contextmanager
def database(folder: Path) -> Iterator[str]:
    """Give the address of a database of the embedded server, with a role that owns only it."""
    server = (sys.executable, "-m", "armo.common.postgres")
    run("PostgreSQL", *server, "start", "--data", folder, cwd=PROJECT)
    try:
        with psycopg.connect(
            host=str(folder), user="postgres", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute("CREATE ROLE armo LOGIN")
            connection.execute("CREATE DATABASE site OWNER armo")
        yield f"postgres://armo@/site?host={quote(str(folder))}"
    finally:
        run("PostgreSQL", *server, "stop", "--data", folder, cwd=PROJECT)


@contextmanager
def free_port() -> Iterator[int]:
    """Give a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    yield port


@contextmanager
def process(
    name: str, command: list[str], log: Path, *, cwd: Path, env: dict[str, str]
) -> Iterator[None]:
    """
    Run a process until the block ends; then it has to end well, and in time.

    :raises Unfit:
    """
    with log.open("a") as output:
        running = subprocess.Popen(  # noqa: S603 (a command of the files)
            found_in(command, env), cwd=cwd, env=env, stdout=output, stderr=output
        )
    try:
        yield
    except Unfit as error:
        raise Unfit(f"{error}\n{log.read_text()}") from None
    finally:
        running.send_signal(signal.SIGTERM)
        try:
            code: int | None = running.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            running.kill()
            code = None
    if code != 0:
        raise Unfit(f"{name}: at SIGTERM it ended with {code}")
    say(name)


# Tools


def found_in(command: list[str], env: dict[str, str]) -> list[str]:
    """Return the command with the path of its program in this environment."""
    return [shutil.which(command[0], path=env["PATH"]) or command[0], *command[1:]]


def run(
    what: str, *command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None
) -> None:
    """
    Run a command to its end.

    :raises Unfit: it failed.
    """
    words = [str(it) for it in command]
    done = subprocess.run(  # noqa: S603 (a command of the files, or of this one)
        found_in(words, env or dict(os.environ)),
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Unfit(f"{what}: {shlex.join(words)}\n{done.stdout}{done.stderr}")
    say(what)


def wait(what: str, condition: Callable[[], object]) -> None:
    """
    Return as soon as the condition holds.

    :raises Unfit: not within the grace.
    """
    deadline = time.monotonic() + GRACE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise Unfit(f"{what} is not there after {GRACE_SECONDS} s")
        time.sleep(0.2)


def body_of(port: int, path: str) -> str:
    """Return a page, asked for as a proxy with TLS does."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        headers={"Host": "news.example.org", "X-Forwarded-Proto": "https"},
    )
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310  # nosec B310
        text: str = answer.read().decode()
        return text


def answers(port: int, path: str) -> bool:
    """Return whether a page is there."""
    try:
        return bool(body_of(port, path))
    except OSError:
        return False


def say(what: str, result: str = "passed") -> None:
    """Print how a check went."""
    print(f"{what}: {result}", flush=True)


def main() -> int:
    """Check everything; return 1 with a reason where something is unfit."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        try:
            bin_dir = make_environment(scratch / "server", "requirements.txt")
            copy_image(scratch / "app")
            rehearse(scratch, scratch / "app", bin_dir)
            lint_units(scratch, scratch / "app", bin_dir)
            lint(scratch)
        except Unfit as error:
            print(error, file=sys.stderr)
            return 1
    print("All is fit to deploy.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
