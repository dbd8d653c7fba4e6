"""Tower's CLI starts runs, follows them to their end, and cancels them.

Deployed: `plain`, `exit-three`, `return-error`, `panic`, `env-dump`, `print-and-wait`.
"""

import json

from checks import Following, api, finished, main, prints, refused, set_retries, tower, until
from tower.tower_api_client.models import CreateAppParams, UpdateAppParams

SCHEDULED = "Run #{} for app `{}` has been scheduled"


def a_run_is_followed_to_its_end():
    number = _next("plain")
    said = tower("run", "plain")
    success = f"Success! Run #{number} for app 'plain' completed successfully\n"
    prints(said, f"Run started, streaming logs...\nTIME | plain\n{success}")


def a_run_is_followed_as_json():
    number = _next("plain")
    said = tower("run", "plain", "--json")
    lines, answer = said.stdout.split("{", 1)
    assert said.exit_code == 0 and lines.endswith(" | plain\n"), said
    message = f"Run #{number} for app 'plain' completed successfully"
    assert json.loads("{" + answer) == {"message": message, "result": "success"}, said


def a_run_that_crashes_is_an_exit_code_of_1():
    for app in ("exit-three", "return-error", "panic"):
        number = _next(app)
        said = tower("run", app)
        crashed = f"Oh no! Run #{number} for app '{app}' crashed\nError: Run crashed\n"
        assert said.exit_code == 1 and said.stdout.endswith(crashed), said
        said = tower("run", app, "--json")
        assert said.exit_code == 1 and f"Run #{number + 1} for app '{app}' crashed" in said.stdout, said
    assert [finished("exit-three", n).exit_code for n in (1, 2)] == [3, 3]
    assert [finished("return-error", n).exit_code for n in (1, 2)] == [1, 1]


def a_run_is_followed_through_its_retries():
    set_retries("panic", 1, delay_seconds=1)
    number = _next("panic")
    said = tower("run", "panic")
    assert said.exit_code == 1 and said.stdout.count("no way out") == 2, said
    assert said.stdout.endswith(f"Oh no! Run #{number} for app 'panic' crashed\nError: Run crashed\n"), said
    assert [attempt.status for attempt in finished("panic", number).attempts] == ["crashed", "crashed"]


def a_run_that_is_cancelled_while_it_is_followed_says_so():
    number = _next("print-and-wait")
    with Following("run", "print-and-wait") as run:
        run.wait_for_line(" | waiting")
        api.cancel_run("print-and-wait", number)
        said = run.end()
    cancelled = f"Oh no! Run #{number} for app 'print-and-wait' was cancelled\nError: Run was cancelled\n"
    prints(said, f"Run started, streaming logs...\nTIME | waiting\n{cancelled}", exit_code=1)


def a_detached_run_is_only_started():
    number = _next("plain")
    message, link, end = tower("run", "plain", "-d").stdout.split("\n")
    assert (message, end) == (f"Success! {SCHEDULED.format(number, 'plain')}", ""), message
    assert link.startswith("  See more: ") and f"/apps/plain/runs/{number}" in link, link
    said = tower("run", "plain", "-d", "--json")
    answer, _ = said.stdout.split("  See more: ")
    assert json.loads(answer) == {"message": SCHEDULED.format(number + 1, "plain"), "result": "success"}, said
    assert [finished("plain", n).status for n in (number, number + 1)] == ["exited", "exited"]


def parameters_are_variables_of_the_program():
    number = _next("env-dump")
    said = tower("run", "env-dump", "-p", "COLOUR=blue", "-p", "EQUATION=a=b=c", "-p", "EMPTY=")
    for line in ("env COLOUR=blue", "env EQUATION=a=b=c", "env EMPTY="):
        assert f" | {line}\n" in said.stdout, said
    parameters = {parameter.name: parameter.value for parameter in finished("env-dump", number).parameters}
    assert parameters == {"COLOUR": "blue", "EQUATION": "a=b=c", "EMPTY": ""}, parameters
    tower("run", "env-dump", "-d", "-p", "COLOUR=green")
    parameters = finished("env-dump", number + 1).parameters
    assert [(parameter.name, parameter.value) for parameter in parameters] == [("COLOUR", "green")], parameters


def a_run_is_cancelled():
    for json_too in ([], ["--json"]):
        number = _next("print-and-wait")
        tower("run", "print-and-wait", "-d")
        until("print-and-wait", number, lambda run: run.status == "running")
        said = tower("apps", "cancel", "print-and-wait", str(number), *json_too)
        message = f"Run #{number} for 'print-and-wait' cancelled (status: Cancelled)"
        if json_too:
            answer = said.json()
            assert (answer["message"], answer["result"]) == (message, "success"), answer
            assert answer["data"]["cancelled_child_runs"] == 0, answer
            assert answer["data"]["run"]["status"] == "cancelled", answer
        else:
            prints(said, f"Success! {message}\n")
        assert finished("print-and-wait", number).cancelled_at


def what_is_not_there_cannot_be_cancelled():
    refused(tower("apps", "cancel", "plain", "9999"), "Cancelling run", "9999")
    refused(tower("apps", "cancel", "nowhere", "1"), "Cancelling run", "nowhere")
    refused(tower("apps", "cancel", "nowhere", "1", "--json"), "Cancelling run", "nowhere")


def an_app_that_is_not_there_is_not_run():
    for follow in ([], ["-d"], ["--json"]):
        said = tower("run", "nowhere", *follow)
        assert said.exit_code == 1 and "App not found." in said.stdout, said


def an_app_without_a_version_is_not_run():
    api.create_app(body=CreateAppParams(name="empty"))
    refused(tower("run", "empty"), "Scheduling run", "empty", "version")


def a_disabled_app_is_not_run():
    api.update_app("env-dump", body=UpdateAppParams(status="disabled"))
    refused(tower("run", "env-dump"), "Scheduling run", "disabled")
    api.update_app("env-dump", body=UpdateAppParams(status="active"))
    assert tower("run", "env-dump", "-d").exit_code == 0


def another_environment_is_refused():
    refused(tower("run", "plain", "-d", "--environment", "prod"), "Scheduling run", "prod", "default")


def _next(app):
    """The number of the app's next run."""
    runs = api.describe_app(app).runs
    return runs[0].number + 1 if runs else 1


if __name__ == "__main__":
    main(globals())
