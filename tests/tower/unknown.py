"""What Tower has and Relume has not is refused in words, and never a fault of the server. `plain` is deployed."""

import re
import tempfile
from contextlib import contextmanager
from pathlib import Path

from checks import PATIENCE_SECONDS, client, main, prints, refused, tower
from tower.tower_api_client.api import default

# What is answered when it asks for nothing in particular.
ANSWERED = {
    "describe_secrets_key",
    "list_apps",
    "list_environments",
    "list_schedules",
    "list_secrets",
    "search_runs",
}

TOWERFILE = '[app]\nname = "plain"\nscript = "./main.py"\nsource = ["./*.py"]\n'


def every_request_of_tower_is_answered_or_refused_as_a_problem():
    answered = set()
    for name, method, path in _requests():
        answer = client().get_httpx_client().request(method, path, **_body(method), timeout=PATIENCE_SECONDS)
        if answer.is_success:
            answered.add(name)
            continue
        said = f"{name}: {answer.status_code} {answer.text}"
        assert 400 <= answer.status_code < 500, said
        assert answer.headers["content-type"] == "application/problem+json", said
        problem = answer.json()
        assert problem["status"] == answer.status_code and problem["title"] and problem["detail"], said
    assert answered == ANSWERED, answered


def commands_for_what_is_not_there_say_so():
    refused(tower("catalogs", "list"), "Listing catalogs", "parameters and secrets")
    refused(tower("catalogs", "list", "--json"), "Listing catalogs")
    refused(tower("catalogs", "show", "lake"), "Fetching catalog details")
    refused(tower("teams", "list"), "Fetching teams", "there are no teams")
    refused(tower("environments", "create", "--name", "prod"), "Creating environment", "there is one environment, `default`")
    refused(tower("secrets", "list", "--show"), "Listing secrets", "and no more")
    prints(tower("teams", "switch", "other"), "Config error: No session\n", exit_code=1)


def without_a_token_nothing_is_said_of_them():
    for _, method, path in _requests():
        answer = client(key="rl_wrong").get_httpx_client().request(method, path, **_body(method))
        assert answer.status_code == 401, f"{method} {path}: {answer.status_code} {answer.text}"


def tower_deploys_python_which_this_is_not_for():
    with _app() as folder:
        refused(tower("deploy", "--dir", folder), "Deploying app", "`relume deploy app.wasm`")
        refused(tower("deploy", "--dir", folder, "--create"), "Deploying app", "`relume deploy app.wasm`")
        refused(tower("run", "--dir", folder, "--local"), "Fetching secrets")


def a_towerfile_may_name_the_app_to_run():
    with _app() as folder:
        said = tower("run", "--dir", folder, "--detached")
    assert said.exit_code == 0 and "for app `plain` has been scheduled" in said.stdout, said


def _requests():
    """Name, method and path of every function of the generated API; names in paths are of nothing that is there."""
    for file in sorted(Path(default.__file__).parent.glob("[a-z]*.py")):
        text = file.read_text()
        method = re.search(r'"method": "(\w+)"', text)[1]
        path = re.search(r'"url": "([^"]+)"', text)[1]
        number = re.sub(r"{(seq|alert_seq)}", "1", path)
        yield file.stem, method, re.sub(r"{\w+}", "nothing", number)


def _body(method):
    return {} if method == "get" else {"json": {}}


@contextmanager
def _app():
    """A folder as `tower deploy` wants it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "Towerfile").write_text(TOWERFILE)
        Path(folder, "main.py").write_text("print(1)\n")
        yield folder


if __name__ == "__main__":
    main(globals())
