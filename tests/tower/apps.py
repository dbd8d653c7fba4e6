"""Tower's CLI creates, lists, shows and deletes apps. `plain` and `hello` are deployed."""

from checks import api, finished, main, prints, refused, start, tower
from tower.tower_api_client.models import CreateAppParams

# What Tower's CLI asks for at a time.
PAGE = 100

TITLES = ["#", "Status", "Start Time", "Elapsed Time"]
NOT_LOGGED_IN = "Error: {} failed because you are not logged into Tower. Please run 'tower login' first.\n"


def the_version_is_the_one_that_is_tested():
    prints(tower("version"), "v0.3.67\n")
    prints(tower("version", "--json"), "v0.3.67\n")


def an_app_that_was_created_is_listed():
    said = tower("apps", "create", "--name", "fresh", "--description", "A fresh app")
    prints(said, "Success! App 'fresh' created\n")
    said = tower("apps", "list")
    assert said.exit_code == 0 and " * fresh\n   A fresh app\n" in said.stdout, said
    assert " * plain\n   No description\n" in said.stdout, said
    [fresh] = [app for app in tower("apps", "list", "--json").json() if app["app"]["name"] == "fresh"]
    assert fresh["runs"] == [] and fresh["app"]["short_description"] == "A fresh app", fresh
    assert (fresh["app"]["version"], fresh["app"]["status"]) == (None, "active"), fresh


def an_app_is_created_as_json():
    answer = tower("apps", "create", "-n", "fresh-json", "--json").json()
    assert (answer["message"], answer["result"]) == ("App 'fresh-json' created", "success"), answer
    app = answer["data"]["app"]
    assert (app["name"], app["short_description"], app["version"]) == ("fresh-json", "", None), app
    assert app["retry_policy"] == {"max_retries": 0, "retry_delay_seconds": 0, "use_exponential_backoff": False}, app


def an_app_is_shown_with_its_latest_runs_first():
    for _ in range(2):
        finished("plain", start("plain").number)
    said = tower("apps", "show", "plain")
    assert said.stdout.startswith("Name: plain\nDescription\n"), said
    titles, second, first = said.table()
    assert titles == TITLES, said
    assert (second[:2], first[:2]) == (["2", "Exited"], ["1", "Exited"]), said
    shown = tower("apps", "show", "plain", "--json").json()
    assert [run["number"] for run in shown["runs"]] == [2, 1], shown
    assert (shown["app"]["name"], shown["app"]["version"]) == ("plain", "v1"), shown


def a_description_is_shown():
    said = tower("apps", "show", "fresh")
    assert "Description\n  A fresh app\n" in said.stdout and said.table() == [TITLES], said


def all_apps_are_listed_on_as_many_pages_as_there_are():
    for number in range(PAGE + 5):
        assert api.create_app(body=CreateAppParams(name=f"many-{number}")).app.name == f"many-{number}"
    everything = _names(tower("apps", "list", "--json"))
    assert len(everything) == len(set(everything)) > PAGE + 5, everything
    assert _names(tower("apps", "list", "--json", "--page", "1")) == everything
    first, second = (_names(tower("apps", "list", "--json", "--no-paginate", "--page", page)) for page in "12")
    assert len(first) == PAGE and first + second == everything, (first, second)
    assert _names(tower("apps", "list", "--json", "--max-items", "3")) == everything[:3]


def an_app_that_was_deleted_is_gone():
    prints(tower("apps", "delete", "fresh"), "")
    prints(tower("apps", "delete", "fresh-json", "--json"), "")
    refused(tower("apps", "show", "fresh"), "Fetching app details", "fresh")
    assert not {"fresh", "fresh-json"} & set(_names(tower("apps", "list", "--json")))


def an_app_whose_runs_are_over_can_be_deleted():
    finished("hello", start("hello").number)
    prints(tower("apps", "delete", "hello"), "")
    refused(tower("apps", "show", "hello"), "Fetching app details", "hello")


def an_app_that_is_not_there_is_named():
    refused(tower("apps", "show", "nowhere"), "Fetching app details", "nowhere")
    refused(tower("apps", "show", "nowhere", "--json"), "Fetching app details", "nowhere")
    refused(tower("apps", "delete", "nowhere"), "Deleting app", "nowhere")


def a_name_is_taken_once():
    refused(tower("apps", "create", "--name", "plain"), "Creating app", "plain")


def a_name_that_no_app_can_have_is_refused():
    refused(tower("apps", "create", "--name", "Not A Name"), "Creating app", "name")


def whoever_has_no_token_is_told_to_log_in():
    for key in ("rl_wrong", "", None):
        prints(tower("apps", "list", key=key), NOT_LOGGED_IN.format("Listing apps"), exit_code=1)
        prints(tower("run", "plain", "-d", key=key), NOT_LOGGED_IN.format("Scheduling run"), exit_code=1)
    prints(tower("apps", "list", "--json", key="rl_wrong"), NOT_LOGGED_IN.format("Listing apps"), exit_code=1)


def there_is_one_environment():
    assert tower("environments", "list").table() == [["Name"], ["default"]]
    assert tower("environments", "list", "--json").json() == [{"is_deletable": False, "name": "default"}]


def _names(said):
    return [app["app"]["name"] for app in said.json()]


if __name__ == "__main__":
    main(globals())
