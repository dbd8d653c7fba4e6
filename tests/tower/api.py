"""Tower's Python API, the generated one and the one above it.

Deployed: `plain`, `exit-three`, `open-step` and `print-and-wait`.
"""

import base64
import datetime
import json
import os

import tower
from checks import ACTIVE, api, client, finished, is_problem, main, set_retries, start, until
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tower.tower_api_client.api.default import create_secret, run_app, stream_run_logs
from tower.tower_api_client.models import (
    BatchScheduleParams,
    CreateAppParams,
    CreateScheduleParams,
    CreateScheduleParamsOverlapPolicy,
    CreateSecretParams,
    DeleteScheduleParams,
    ListAppsFilter,
    ListAppsSort,
    ListRunsStatusItem,
    RunAppInitiatorData,
    RunAppInitiatorDataType,
    RunAppParams,
    RunAppParamsParameters,
    RunParameter,
    RunRetryPolicy,
    SearchRunsStatusItem,
    StreamRunLogsEventLog,
    StreamRunLogsEventWarning,
    UpdateAppParams,
    UpdateScheduleParams,
)
from tower.tower_api_client.types import Unset

THE_END = "the run is over, and these were all lines"
YEARLY = "0 0 1 1 *"
NO_RETRIES = RunRetryPolicy(max_retries=0, retry_delay_seconds=0, use_exponential_backoff=False)
DAY = datetime.timedelta(days=1)


def a_run_is_started_and_waited_for():
    run = tower.run_app("plain", parameters={"COLOUR": "blue"})
    assert run.app_name == "plain" and run.status in ACTIVE, run
    run = tower.wait_for_run(run, raise_on_failure=True)
    assert (run.status, run.status_group, run.exit_code) == ("exited", "successful", 0), run
    assert [(parameter.name, parameter.value) for parameter in run.parameters] == [("COLOUR", "blue")], run


def a_run_that_fails_is_a_failure_to_whoever_waits():
    run = tower.wait_for_run(tower.run_app("exit-three"))
    assert (run.status, run.status_group, run.exit_code) == ("crashed", "failed", 3), run
    _raises("RunFailedError", lambda: tower.wait_for_run(run, raise_on_failure=True))
    _raises("AppNotFoundError", lambda: tower.run_app("nowhere"))


def several_runs_are_waited_for():
    runs = [tower.run_app("plain"), tower.run_app("exit-three")]
    successful, failed = tower.wait_for_runs(runs)
    assert ([run.app_name for run in successful], [run.app_name for run in failed]) == (["plain"], ["exit-three"])


def a_run_has_a_policy_of_its_own_and_shows_its_attempts():
    policy = RunRetryPolicy(max_retries=1, retry_delay_seconds=0, use_exponential_backoff=True)
    run = start("open-step", retry_policy=policy)
    assert (run.num_attempts, run.retry_policy) == (1, policy), run
    run = finished("open-step", run.number)
    assert (run.status, run.num_attempts, run.exit_code, run.retry_policy) == ("exited", 2, 0, policy), run
    attempts = [(attempt.seq, attempt.status, attempt.exit_code) for attempt in run.attempts]
    assert attempts == [(1, "crashed", None), (2, "exited", 0)], run
    for attempt in run.attempts:
        assert attempt.started_at <= attempt.ended_at, attempt
    assert api.describe_app("open-step").app.retry_policy == NO_RETRIES


def a_run_knows_its_neighbours():
    numbers = [start("open-step").number for _ in range(3)]
    links = api.describe_run("open-step", numbers[1]).links
    assert (links.prev_number, links.next_number) == (numbers[0], numbers[2]), links
    assert f"/apps/open-step/runs/{numbers[2]}" in links.next_ and links.self_, links
    assert api.describe_run("open-step", numbers[2]).links.next_number is None
    assert api.describe_run("open-step", 1).links.prev_number is None
    for number in numbers:
        finished("open-step", number)


def runs_are_listed_by_status():
    statuses = {status: api.list_runs("open-step", status=[status]).runs for status in ListRunsStatusItem}
    assert {run.status for run in statuses["crashed"]} == {"crashed"} and len(statuses["crashed"]) == 3, statuses
    assert [run.number for run in statuses["exited"]] == [1], statuses
    both = api.list_runs("open-step", status=[ListRunsStatusItem.EXITED, ListRunsStatusItem.CRASHED]).runs
    assert [run.number for run in both] == [4, 3, 2, 1], both
    assert all(isinstance(run.attempts, Unset) for run in both), both
    crashed = api.search_runs(status=[SearchRunsStatusItem.CRASHED]).runs
    assert {run.app_name for run in crashed} == {"open-step", "exit-three"}, crashed


def runs_are_listed_by_page_and_time():
    page = api.list_runs("open-step", page=2, page_size=3)
    assert [run.number for run in page.runs] == [1], page
    assert (page.pages.page, page.pages.page_size, page.pages.num_pages, page.pages.total) == (2, 3, 2, 4), page
    now = datetime.datetime.now(datetime.timezone.utc)
    assert len(api.list_runs("open-step", start_at=now - DAY, end_at=now + DAY).runs) == 4
    assert api.list_runs("open-step", start_at=now + DAY).runs == []
    assert api.list_runs("open-step", end_at=now - DAY).pages.total == 0


def a_run_is_cancelled():
    run = start("print-and-wait")
    answer = api.cancel_run("print-and-wait", run.number)
    assert (answer.run.status, answer.cancelled_child_runs) == ("cancelled", 0), answer
    run = finished("print-and-wait", run.number)
    assert (run.status, run.exit_code) == ("cancelled", None) and run.cancelled_at, run


def an_initiator_is_accepted():
    run = start("plain", initiator=RunAppInitiatorData(type_=RunAppInitiatorDataType.TOWER_UI))
    assert run.is_scheduled is False and finished("plain", run.number).status == "exited", run


def the_policy_of_an_app_holds_for_its_next_runs():
    app = set_retries("exit-three", 1, delay_seconds=0)
    policy = RunRetryPolicy(max_retries=1, retry_delay_seconds=0, use_exponential_backoff=False)
    assert app.retry_policy == policy == api.describe_app("exit-three").app.retry_policy, app
    run = finished("exit-three", start("exit-three").number)
    assert [attempt.exit_code for attempt in run.attempts] == [3, 3] and run.retry_policy == policy, run
    run = finished("exit-three", start("exit-three", retry_policy=NO_RETRIES).number)
    assert [attempt.exit_code for attempt in run.attempts] == [3], run


def a_policy_out_of_range_changes_nothing():
    before = api.describe_app("exit-three").app
    for policy, field in [((11, 0, False), "max_retries"), ((1, 3601, False), "retry_delay_seconds")]:
        answer = api.update_app("exit-three", body=UpdateAppParams(retry_policy=RunRetryPolicy(*policy)))
        is_problem(answer, 422, field)
        body = RunAppParams("default", RunAppParamsParameters(), retry_policy=RunRetryPolicy(*policy))
        answer = run_app.sync_detailed("exit-three", client=client(), body=body)
        assert answer.status_code == 422 and field in answer.content.decode(), answer
    assert api.describe_app("exit-three").app == before


def an_app_is_described_disabled_and_enabled():
    answer = api.update_app("plain", body=UpdateAppParams(description="Prints", status="disabled"))
    assert (answer.app.short_description, answer.app.status) == ("Prints", "disabled") and answer.App == answer.app
    body = RunAppParams("default", RunAppParamsParameters())
    assert run_app.sync_detailed("plain", client=client(), body=body).status_code == 409
    assert [app.app.name for app in api.list_apps(filter_=ListAppsFilter.DISABLED).apps] == ["plain"]
    app = api.update_app("plain", body=UpdateAppParams(status="active")).app
    assert (app.short_description, app.status) == ("Prints", "active"), app
    is_problem(api.update_app("plain", body=UpdateAppParams(status="asleep")), 422, "asleep")


def apps_are_created_listed_and_deleted():
    created = api.create_app(body=CreateAppParams(name="zebra", short_description="Striped")).app
    assert (created.name, created.short_description, created.version) == ("zebra", "Striped", None), created
    by_name = [app.app.name for app in api.list_apps(sort=ListAppsSort.A_TO_Z).apps]
    assert by_name == sorted(by_name) and by_name[-1] == "zebra", by_name
    assert [app.app.name for app in api.list_apps(query="zeb").apps] == ["zebra"]
    page = api.list_apps(page=2, page_size=2, num_runs=1)
    assert len(page.apps) == 2 and page.pages.num_pages == 3 and page.pages.total == 5, page
    assert all(len(app.runs) <= 1 for app in page.apps), page
    assert api.delete_app("zebra").app.name == "zebra"
    is_problem(api.describe_app("zebra"), 404, "zebra")


def the_versions_of_an_app_are_listed():
    [version] = api.list_app_versions("plain").versions
    assert version.version == "v1" and version == api.describe_app_version("plain", "v1").version, version
    is_problem(api.describe_app_version("plain", "v9"), 404, "v9")


def lines_are_read_and_streamed():
    run = finished("plain", start("plain").number)
    [line] = api.describe_run_logs("plain", run.number).log_lines
    assert (line.content, line.channel, line.attempt_seq) == ("plain", "program", 1), line
    assert line.run_id == run.run_id and line.reported_at >= run.created_at, line
    assert api.describe_run_logs("plain", run.number, start_at=line.reported_at + DAY).log_lines == []
    with _Stream("plain", run.number) as events:
        *lines, end = events
        assert lines == [line] and end.content == THE_END, (lines, end)


def lines_are_streamed_while_the_run_goes_on():
    run = start("print-and-wait")
    with _Stream("print-and-wait", run.number) as events:
        assert next(events).content == "waiting"
        assert api.describe_run("print-and-wait", run.number).run.status == "running"
        api.cancel_run("print-and-wait", run.number)
        assert [event.content for event in events] == [THE_END]


def schedules_are_created_and_listed():
    parameters = [RunParameter(name="COLOUR", value="blue")]
    body = CreateScheduleParams("plain", YEARLY, name="yearly", timezone="Europe/Berlin", parameters=parameters)
    body.overlap_policy = CreateScheduleParamsOverlapPolicy.SKIP
    schedule = api.create_schedule(body=body).schedule
    assert (schedule.name, schedule.app_name, schedule.cron) == ("yearly", "plain", YEARLY), schedule
    assert (schedule.timezone, schedule.overlap_policy, schedule.status) == ("Europe/Berlin", "skip", "active")
    assert [(parameter.name, parameter.value) for parameter in schedule.parameters] == [("COLOUR", "blue")]
    other = api.create_schedule(body=CreateScheduleParams("exit-three", YEARLY)).schedule
    assert other.name not in ("", "yearly") and other.timezone == "UTC", other
    assert api.list_schedules(app="plain").schedules == [schedule]
    page = api.list_schedules(page=2, page_size=1)
    assert len(page.schedules) == 1 and page.pages.total == 2, page


def schedules_are_refused():
    for body, status, words in [
        (CreateScheduleParams("plain", YEARLY, name="yearly"), 409, "yearly"),
        (CreateScheduleParams("nowhere", YEARLY), 404, "nowhere"),
        (CreateScheduleParams("plain", "61 * * * *"), 422, "61"),
        (CreateScheduleParams("plain", YEARLY, timezone="Atlantis/Sunken"), 422, "Atlantis/Sunken"),
    ]:
        is_problem(api.create_schedule(body=body), status, words)


def schedules_are_updated_by_name_and_id():
    [before] = api.list_schedules(app="plain").schedules
    after = api.update_schedule("yearly", body=UpdateScheduleParams(cron="0 0 2 1 *")).schedule
    assert (after.cron, after.timezone, after.parameters) == ("0 0 2 1 *", before.timezone, before.parameters), after
    after = api.update_schedule(before.id, body=UpdateScheduleParams(name="new-year", timezone="UTC")).schedule
    assert (after.id, after.name, after.timezone, after.cron) == (before.id, "new-year", "UTC", "0 0 2 1 *"), after
    is_problem(api.update_schedule("yearly", body=UpdateScheduleParams(cron=YEARLY)), 404, "yearly")


def schedules_are_switched_off_and_on_and_deleted():
    ids = [schedule.id for schedule in api.list_schedules().schedules]
    assert _statuses(api.deactivate_schedules(body=BatchScheduleParams(ids))) == {id: "disabled" for id in ids}
    assert _statuses(api.list_schedules()) == {id: "disabled" for id in ids}
    assert _statuses(api.activate_schedules(body=BatchScheduleParams(ids))) == {id: "active" for id in ids}
    answer = api.delete_schedule(body=DeleteScheduleParams(ids))
    assert {schedule.id for schedule in answer.schedules} == set(ids), answer
    assert api.list_schedules().schedules == []


def secrets_are_created_listed_and_deleted():
    answer = _create_secret("TOKEN", _encrypt("a secret text"))
    assert answer.status_code == 201 and answer.parsed.secret.name == "TOKEN", answer
    [secret] = api.list_secrets().secrets
    assert (secret.name, secret.environment, secret.preview) == ("TOKEN", "default", "XXXXXXtext"), secret
    assert api.delete_secret("TOKEN").secret.name == "TOKEN"
    assert api.list_secrets(environment="default").secrets == []
    is_problem(api.delete_secret("TOKEN"), 404, "TOKEN")


def what_is_not_encrypted_with_our_key_is_no_secret():
    encrypted = base64.b64decode(_encrypt("a secret text"))
    changed = bytes([*encrypted[:-1], encrypted[-1] ^ 1])
    for value in ("", "in plain text", base64.b64encode(b"short").decode(), base64.b64encode(changed).decode()):
        answer = _create_secret("TOKEN", value)
        assert answer.status_code == 422 and "encrypted_value" in answer.content.decode(), answer
    assert api.list_secrets().secrets == []


def the_public_key_comes_in_both_formats():
    spki, pkcs1 = (api.describe_secrets_key(format_=format).public_key for format in ("spki", "pkcs1"))
    assert spki.startswith("-----BEGIN PUBLIC KEY-----") and pkcs1.startswith("-----BEGIN RSA PUBLIC KEY-----")
    assert api.describe_secrets_key().public_key == pkcs1 and _numbers(spki) == _numbers(pkcs1)
    is_problem(api.describe_secrets_key(format_="jwk"), 422, "jwk")


def a_wrong_token_is_a_problem():
    wrong = client(key="rl_wrong")
    is_problem(run_app.sync("plain", client=wrong, body=RunAppParams("default", RunAppParamsParameters())), 401)
    assert create_secret.sync_detailed(client=wrong, body=CreateSecretParams("", "default", "A", "")).status_code == 401


def _statuses(answer):
    return {schedule.id: schedule.status for schedule in answer.schedules}


def _raises(name, action):
    try:
        action()
    except Exception as error:
        assert type(error).__name__ == name, repr(error)
    else:
        raise AssertionError(f"{name} was not raised")


class _Stream:
    """The lines of a run as they are streamed, and what is said at the end. The generated function for it reads letters for events, so this sends
    its request and fills its models."""

    def __init__(self, app, number):
        request = stream_run_logs._get_kwargs(app, number)
        self._response = client().get_httpx_client().stream(**request, timeout=120)

    def __enter__(self):
        return self._events(self._response.__enter__())

    def __exit__(self, *error):
        self._response.__exit__(*error)

    def _events(self, response):
        assert response.headers["content-type"].startswith("text/event-stream"), response.headers
        event = {}
        for line in response.iter_lines():
            field, _, value = line.partition(": ")
            if line == "" and "data" in event:
                model = {"log": StreamRunLogsEventLog, "warning": StreamRunLogsEventWarning}[event["event"]]
                yield model.from_dict({**event, "data": json.loads(event["data"])}).data
            if line == "":
                event = {}
            elif field in ("event", "data"):
                event[field] = value


def _numbers(pem):
    return serialization.load_pem_public_key(pem.encode()).public_numbers()


def _encrypt(text):
    """As Tower's clients do: a new AES key, encrypted with the server's RSA key, a nonce, and what AES-GCM makes of
    the text."""
    public = serialization.load_pem_public_key(api.describe_secrets_key(format_="spki").public_key.encode())
    key, nonce = AESGCM.generate_key(256), os.urandom(12)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    encrypted = public.encrypt(key, oaep) + nonce + AESGCM(key).encrypt(nonce, text.encode(), None)
    return base64.b64encode(encrypted).decode()


def _create_secret(name, encrypted_value):
    body = CreateSecretParams(encrypted_value, "default", name, preview="XXXXXXtext")
    return create_secret.sync_detailed(client=client(), body=body)


if __name__ == "__main__":
    main(globals())
