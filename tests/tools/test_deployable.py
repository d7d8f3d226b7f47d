"""What the files for deploying say; `make deployable` runs their commands."""

import json
import re
from pathlib import Path

import yaml
from django.conf import settings

from tools import deployable

PROJECT = Path(settings.BASE_DIR)
MIGRATE = ["python", "manage.py", "migrate"]
WEB = ["gunicorn", "armo.wsgi"]
WORKER = ["python", "manage.py", "qcluster"]


def names(text: str) -> set[str]:
    """Return the variables of a file of settings, also those that are commented out."""
    return set(re.findall(r"^(?:# )?([A-Z][A-Z_]+)=", text, re.MULTILINE))


class TestTheCommands:
    def test_are_the_same_on_every_platform(self) -> None:
        by_file = deployable.commands()

        for name, parts in by_file.items():
            for part, words in parts.items():
                expected = {"migrate": MIGRATE, "web": WEB, "worker": WORKER}[part]
                assert [it for it in words if it != "--noinput"] == expected, name
        whole = {name for name, parts in by_file.items() if len(parts) == 3}
        assert whole == set(by_file) - {"Dockerfile"}

    def test_have_the_time_to_end(self) -> None:
        graces = deployable.grace_seconds()

        assert len(graces) == 7
        assert min(graces.values()) > settings.STOP_AFTER
        assert {grace for name, grace in graces.items() if "web" not in name} == {35}


class TestTheImage:
    def test_has_every_package_of_the_project(self) -> None:
        apps = {it.partition(".")[0] for it in settings.INSTALLED_APPS}
        own = {it for it in apps if (PROJECT / it).is_dir()}

        assert own | {"armo", "manage.py", "gunicorn.conf.py"} <= set(deployable.image_paths())

    def test_has_no_secret_and_only_what_is_there(self) -> None:
        paths = deployable.image_paths()

        assert [it for it in paths if it.startswith(".") or not (PROJECT / it).exists()] == []
        assert deployable.read(".dockerignore").splitlines()[1] == "*"


class TestTheFileOfSettings:
    def test_names_only_what_there_is(self) -> None:
        known = names(deployable.read(".env.example")) | {"POSTGRES_PASSWORD"}

        assert names(deployable.read("deploy/env.example")) <= known

    def test_is_read_alike_by_docker_systemd_and_kubernetes(self) -> None:
        lines = deployable.read("deploy/env.example").splitlines()

        given = [line for line in lines if line and not line.startswith("#")]
        assert [it for it in given if not re.fullmatch(r"[A-Z_]+=[^\s\"'$#]*", it)] == []

    def test_of_heroku_has_what_a_start_needs(self) -> None:
        app = json.loads(deployable.read("app.json"))

        assert {"SECRET_KEY", "ALLOWED_HOSTS", "SITE_URL", "PROXIES"} <= set(app["env"])
        assert set(app["formation"]) == {"web", "worker"}


class TestKubernetes:
    def test_runs_nothing_as_root_and_writes_no_file(self) -> None:
        found = yaml.safe_load_all(deployable.read("deploy/kubernetes.yaml"))
        pods = [it["spec"]["template"]["spec"] for it in found if "template" in it["spec"]]

        assert len(pods) == 3
        for pod in pods:
            [container] = pod["containers"]
            assert pod["securityContext"]["runAsNonRoot"]
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
