"""Tower's CLI creates, lists and deletes secrets. `env-dump` is deployed with the secrets TOKEN and POEM."""

from checks import main, prints, refused, tower

TITLES = ["Secret", "Environment", "Preview"]
TOKEN = "a-token-of-30-characters-12345"
# Longer than one block of any cipher, and not ASCII.
POEM = "Über allen Gipfeln ist Ruh\n" * 100


def without_secrets_the_list_is_empty():
    assert tower("secrets", "list").table() == [TITLES]
    assert tower("secrets", "list", "--json").json() == []


def a_secret_that_was_created_is_listed_without_its_value():
    said = tower("secrets", "create", "--name", "TOKEN", "--value", TOKEN)
    prints(said, "Success! Secret TOKEN created in environment default\n")
    assert tower("secrets", "list").table() == [TITLES, ["TOKEN", "default", "XXXXXX2345"]]
    [secret] = tower("secrets", "list", "--json").json()
    assert (secret["name"], secret["environment"], secret["preview"]) == ("TOKEN", "default", "XXXXXX2345"), secret
    assert TOKEN not in tower("secrets", "list", "--all", "--json").stdout


def a_secret_is_created_as_json():
    answer = tower("secrets", "create", "-n", "POEM", "-v", POEM, "-e", "default", "--json").json()
    assert (answer["message"], answer["result"]) == ("Secret POEM created in environment default", "success"), answer
    assert [secret["name"] for secret in tower("secrets", "list", "--all", "--json").json()] == ["POEM", "TOKEN"]


def a_program_has_the_secrets_that_its_manifest_names():
    said = tower("run", "env-dump")
    assert said.exit_code == 0 and " | env TOKEN=[secret TOKEN]\n" in said.stdout, said
    poem = "\n".join(line.split(" | ", 1)[-1] for line in said.stdout.splitlines())
    assert "env POEM=" + "[secret POEM]\n" * 100 in poem, said


def a_short_secret_shows_nothing_of_itself():
    tower("secrets", "create", "-n", "PIN", "-v", "1234")
    [pin] = [secret for secret in tower("secrets", "list", "--json").json() if secret["name"] == "PIN"]
    assert pin["preview"] == "XXXXXXXXXX", pin


def a_name_that_no_variable_can_have_is_refused():
    refused(tower("secrets", "create", "-n", "A=B", "-v", "x"), "Creating secret", "A=B")


def another_environment_is_refused():
    refused(tower("secrets", "create", "-n", "X", "-v", "x", "-e", "prod"), "Creating secret", "prod")


def a_secret_that_was_deleted_is_gone():
    prints(tower("secrets", "delete", "PIN"), "")
    prints(tower("secrets", "delete", "default/POEM"), "")
    prints(tower("secrets", "delete", "TOKEN", "--json"), "")
    assert tower("secrets", "list", "--json").json() == []
    refused(tower("secrets", "delete", "PIN"), "Deleting secret", "PIN")
    refused(tower("secrets", "delete", "PIN", "--json"), "Deleting secret", "PIN")


if __name__ == "__main__":
    main(globals())
