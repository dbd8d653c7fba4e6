"""What the scripts in this folder share: Tower's CLI as a person types it, Tower's generated Python API, and a runner.

A script is a list of functions; the name of each is what it claims. TOWER_URL and TOWER_API_KEY say which server.
"""

import functools
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from tower.tower_api_client.client import AuthenticatedClient
from tower.tower_api_client.models import (
    ErrorModel,
    RunAppParams,
    RunAppParamsParameters,
    RunRetryPolicy,
    UpdateAppParams,
)

URL = os.environ["TOWER_URL"].rstrip("/")
KEY = os.environ["TOWER_API_KEY"]

# How long a command or a run may take before a test gives up on it.
PATIENCE_SECONDS = 120

ACTIVE = {"scheduled", "pending", "starting", "running", "retrying"}

# What differs from day to day, at the begin of a log line.
LOG_TIME = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \| ", re.MULTILINE)
# Tables are written for terminals even when they go into a file.
ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass
class Said:
    """What a command printed, and how it ended."""

    exit_code: int
    stdout: str
    stderr: str

    def json(self):
        assert self.exit_code == 0, self
        return json.loads(self.stdout)

    def table(self):
        """The cells of the rows of the table, which comes last; its titles are the first row."""
        assert self.exit_code == 0, self
        lines = ESCAPES.sub("", self.stdout).splitlines()
        line = next((number for number, line in enumerate(lines) if line.startswith("---")), None)
        assert line, f"there is no table: {self}"
        return [re.split(r"\s{2,}", line.strip()) for line in lines[line - 1 :] if not line.startswith("---")]


def tower(*args, key=KEY, url=URL):
    """What Tower's CLI says in an empty folder, as someone who has never logged in."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [_cli(), *args],
            cwd=folder,
            env=_environment(folder, key, url),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
    return Said(done.returncode, done.stdout, done.stderr)


class Following:
    """A command that goes on while the test does something else. Killed when the test is over."""

    def __init__(self, *args):
        self._folder = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [_cli(), *args],
            cwd=self._folder.name,
            env=_environment(self._folder.name, KEY, URL),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._lines = []
        self._patience = threading.Timer(PATIENCE_SECONDS, self._process.kill)
        self._patience.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._patience.cancel()
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()

    def wait_for_line(self, words):
        """Waits until it prints a line with these words."""
        for line in self._process.stdout:
            self._lines.append(line)
            if words in line:
                return
        raise AssertionError(f"`{words}` was never printed, but: {self._lines}")

    def end(self):
        """Waits for the end of the command."""
        self._lines.extend(self._process.stdout)
        return Said(self._process.wait(), "".join(self._lines), "")


def _cli():
    return Path(sys.executable).parent / "tower"


def _environment(home, key, url):
    # It asks PyPI for its newest version, which is nobody's business here.
    environment = {"HOME": home, "PATH": os.environ["PATH"], "TOWER_PYPI_URL": "http://127.0.0.1:9"}
    if key is not None:
        environment["TOWER_API_KEY"] = key
    return {**environment, "TOWER_URL": url}


def prints(said, stdout, exit_code=0):
    """The command printed this, with TIME for the time of each log line."""
    printed = LOG_TIME.sub("TIME | ", said.stdout)
    assert (said.exit_code, printed) == (exit_code, stdout), f"expected {exit_code} and {stdout!r}, but: {said}"


def refused(said, failed, *words):
    """The command failed with the server's own words, among which are these."""
    assert said.exit_code == 1, said
    assert said.stdout.startswith("\nError details:\n"), said
    assert said.stdout.endswith(f"\nError: {failed} failed\n"), said
    for word in words:
        assert word in said.stdout, f"`{word}` is not in {said}"


def client(key=KEY):
    """What Tower's generated Python API sends its requests with."""
    return AuthenticatedClient(base_url=f"{URL}/v1", token=key, auth_header_name="X-API-Key", prefix="")


class _Api:
    """Tower's generated Python API: `api.describe_run("plain", 1)`. Each function is a module of its own there."""

    def __getattr__(self, name):
        module = importlib.import_module(f"tower.tower_api_client.api.default.{name}")
        return functools.partial(module.sync, client=client())


api = _Api()


def start(app, parameters=None, **more):
    """Starts a run and returns it."""
    parameters = RunAppParamsParameters.from_dict(parameters or {})
    return api.run_app(app, body=RunAppParams(environment="default", parameters=parameters, **more)).run


def is_problem(answer, status, *words):
    """The generated API read the answer as a problem, with these words in its detail."""
    assert isinstance(answer, ErrorModel), answer
    assert answer.status == status and answer.title, answer
    for word in words:
        assert word in answer.detail, f"`{word}` is not in {answer}"


def until(app, number, condition):
    """The run, once the condition holds for it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        run = api.describe_run(app, number).run
        if condition(run):
            return run
        assert time.monotonic() < deadline, f"the run is still {run}"
        time.sleep(0.05)


def finished(app, number):
    """The run, once it is final."""
    return until(app, number, lambda run: run.status not in ACTIVE)


def set_retries(app, max_retries, delay_seconds):
    """Gives the app a retry policy."""
    policy = RunRetryPolicy(max_retries, delay_seconds, use_exponential_backoff=False)
    return api.update_app(app, body=UpdateAppParams(retry_policy=policy)).app


def main(names):
    """Calls every function of a script that is no helper, in the order of the file; exits with 1 if one fails."""
    failures = 0
    for name, function in list(names.items()):
        if name.startswith("_") or getattr(function, "__module__", None) != "__main__" or not callable(function):
            continue
        claim = name.replace("_", " ")
        try:
            function()
            print(f"ok: {claim}")
        except Exception:
            failures += 1
            print(f"FAILED: {claim}\n{traceback.format_exc()}")
    sys.exit(1 if failures else 0)
