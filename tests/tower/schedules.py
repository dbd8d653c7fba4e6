"""Tower's CLI creates, lists, updates and deletes schedules. `plain` and `env-dump` are deployed."""

from checks import main, prints, refused, tower

TITLES = ["ID", "App", "Environment", "Cron", "Status"]
# New Year: no test waits for it.
YEARLY = "0 0 1 1 *"


def without_schedules_it_says_so():
    prints(tower("schedules", "list"), "No schedules found.\n")


def a_schedule_that_was_created_is_listed():
    said = tower("schedules", "create", "--app", "plain", "--cron", YEARLY)
    schedule = _only("plain")
    prints(said, f"Success! Schedule created with ID: {schedule['id']}\n")
    assert schedule["cron"] == YEARLY and schedule["name"], schedule
    assert (schedule["status"], schedule["app_status"]) == ("active", "active"), schedule
    assert (schedule["timezone"], schedule["overlap_policy"]) == ("UTC", "allow"), schedule
    row = [schedule["id"], "plain", "default", YEARLY, "active"]
    assert tower("schedules", "list").table() == [TITLES, row]


def a_schedule_is_created_with_parameters_as_json():
    answer = tower("schedules", "create", "-a", "env-dump", "-c", YEARLY, "-p", "COLOUR=blue", "--json").json()
    schedule = _only("env-dump")
    assert answer == {"message": f"Schedule created with ID: {schedule['id']}", "result": "success"}, answer
    parameters = [(parameter["name"], parameter["value"]) for parameter in schedule["parameters"]]
    assert parameters == [("COLOUR", "blue")], schedule


def schedules_are_listed_by_app_and_environment():
    assert len(tower("schedules", "list", "--json").json()) == 2
    assert _only("plain")["app_name"] == "plain"
    assert len(tower("schedules", "list", "--json", "--environment", "default").json()) == 2
    prints(tower("schedules", "list", "--app", "nowhere"), "No schedules found.\n")
    refused(tower("schedules", "list", "--environment", "prod"), "Listing schedules", "prod", "default")


def an_update_changes_what_it_names_and_nothing_else():
    before = _only("env-dump")
    id, name = before["id"], before["name"]
    prints(tower("schedules", "update", id, "--cron", "0 0 2 1 *"), f"Success! Schedule {id} updated\n")
    after = _only("env-dump")
    assert after["cron"] == "0 0 2 1 *" and after["parameters"] == before["parameters"], after
    answer = tower("schedules", "update", name, "-p", "COLOUR=green", "-p", "SIZE=XL", "--json").json()
    assert answer == {"message": f"Schedule {name} updated", "result": "success"}, answer
    after = _only("env-dump")
    parameters = {parameter["name"]: parameter["value"] for parameter in after["parameters"]}
    assert (after["cron"], parameters) == ("0 0 2 1 *", {"COLOUR": "green", "SIZE": "XL"}), after
    prints(tower("schedules", "update", id), f"Success! Schedule {id} updated\n")
    assert (_only("env-dump")["cron"], _only("env-dump")["parameters"]) == (after["cron"], after["parameters"])


def what_is_no_schedule_is_refused():
    refused(tower("schedules", "create", "-a", "plain", "-c", "every day"), "Creating schedule", "cron")
    refused(tower("schedules", "create", "-a", "plain", "-c", "0 0 30 2 *"), "Creating schedule", "cron")
    refused(tower("schedules", "create", "-a", "nowhere", "-c", YEARLY), "Creating schedule", "nowhere")
    refused(tower("schedules", "create", "-a", "plain", "-c", YEARLY, "-e", "prod"), "Creating schedule", "prod")
    refused(tower("schedules", "update", _only("plain")["id"], "-c", "often"), "Updating schedule", "cron")
    assert _only("plain")["cron"] == YEARLY


def a_schedule_that_was_deleted_is_gone():
    id = _only("plain")["id"]
    prints(tower("schedules", "delete", id), f"Success! Schedule {id} deleted\n")
    id = _only("env-dump")["id"]
    answer = tower("schedules", "delete", id, "--json").json()
    assert answer == {"message": f"Schedule {id} deleted", "result": "success"}, answer
    prints(tower("schedules", "list", "--json"), "No schedules found.\n")


def a_schedule_that_is_not_there_is_named():
    refused(tower("schedules", "update", "nothing", "-c", YEARLY), "Updating schedule", "nothing")
    refused(tower("schedules", "delete", "nothing"), "Deleting schedule", "nothing")


def _only(app):
    """The only schedule of the app."""
    [schedule] = tower("schedules", "list", "--app", app, "--json").json()
    return schedule


if __name__ == "__main__":
    main(globals())
