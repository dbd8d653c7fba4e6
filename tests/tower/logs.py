"""Tower's CLI prints and follows what programs print.

Deployed: `plain`, `print-odd`, `print-and-wait` and `panic`.
"""

from checks import LOG_TIME, Following, api, finished, main, prints, refused, set_retries, start, tower, until


def the_lines_of_a_run_are_printed():
    run = finished("plain", start("plain").number)
    for args in (["plain", str(run.number)], [f"plain#{run.number}"], ["plain"]):
        for more in ([], ["--json"], ["--follow"], ["--follow", "--json"]):
            prints(tower("apps", "logs", *args, *more), "TIME | plain\n")


def odd_lines_arrive_as_text():
    run = finished("print-odd", start("print-odd").number)
    lines = LOG_TIME.sub("", tower("apps", "logs", "print-odd", str(run.number)).stdout).split("\n")
    stored = [line.content for line in _stored("print-odd", run.number)]
    assert lines == [*stored, ""] and "on stderr" in stored, (lines, stored)


def a_run_is_followed_while_it_goes_on():
    number = start("print-and-wait").number
    until("print-and-wait", number, lambda run: run.status == "running")
    with Following("apps", "logs", "--follow", f"print-and-wait#{number}") as logs:
        logs.wait_for_line(" | waiting")
        api.cancel_run("print-and-wait", number)
        prints(logs.end(), "TIME | waiting\n")


def a_run_is_followed_from_before_its_first_attempt_to_after_its_last():
    set_retries("panic", 2, delay_seconds=1)
    number = start("panic").number
    said = tower("apps", "logs", "--follow", "panic", str(number))
    stored = _stored("panic", number)
    assert LOG_TIME.sub("", said.stdout) == "".join(f"{line.content}\n" for line in stored), (said, stored)
    assert [line.line_num for line in stored] == sorted({line.line_num for line in stored}), stored
    of_attempts = [line.attempt_seq for line in stored if "no way out" in line.content]
    assert of_attempts == [1, 2, 3] and {line.channel for line in stored} == {"program"}, stored


def what_is_not_there_cannot_be_followed():
    refused(tower("apps", "logs", "--follow", "plain", "9999"), "Fetching run details", "9999")
    refused(tower("apps", "logs", "--follow", "nowhere", "1"), "Fetching run details", "nowhere")
    # Without --follow, this version of Tower's CLI keeps the error to itself.
    prints(tower("apps", "logs", "plain", "9999"), "")


def _stored(app, number):
    return api.describe_run_logs(app, number).log_lines


if __name__ == "__main__":
    main(globals())
