"""Which states the files establish, entry point by entry point."""

from migrator.inventory.discover import discover_inventory
from migrator.inventory.model import Stack
from tests.inventory.conftest import MakeTree

BACKEND = 'terraform {\n  backend "http" {}\n}\n'
ADDRESS = "https://gitlab.example.com/api/v4/projects/1/terraform/state"
TWO_STACKS = {"stacks/attic/backend.tf": BACKEND, "stacks/runners/backend.tf": BACKEND}


def names(stacks: tuple[Stack, ...]) -> dict[str, list[tuple[str | None, str]]]:
    return {stack.name: [(state.environment, state.name) for state in stack.states] for stack in stacks}


def found(make_tree: MakeTree, files: dict[str, str]) -> dict[str, list[tuple[str | None, str]]]:
    return names(discover_inventory(make_tree(files)).stacks)


def test_a_recipe_for_every_stack(make_tree: MakeTree):
    justfile = (
        'env := env_var_or_default("ENV", "dev")\ndir := "stacks"\n\n'
        "init stack:\n    #!/usr/bin/env bash\n    cd {{dir}}/{{stack}}\n"
        f'    tofu init -backend-config="address={ADDRESS}/{{{{stack}}}}-{{{{env}}}}"\n\n'
        'init-attic: (init "attic")\n'
    )
    inventory = discover_inventory(make_tree({**TWO_STACKS, "Justfile": justfile}))
    assert names(inventory.stacks) == {
        "attic": [("dev", "attic-dev"), (None, "attic-{environment}")],
        "runners": [("dev", "runners-dev"), (None, "runners-{environment}")],
    }
    evidence = {str(place) for place in inventory.stacks[0].states[0].evidence}
    assert evidence == {"Justfile:1", "Justfile:7", "Justfile:9"}


def test_a_case_is_followed_to_the_arm_of_each_stack(make_tree: MakeTree):
    justfile = (
        'env := "dev"\n\ninit stack:\n    #!/bin/sh\n    cd "stacks/{{stack}}"\n'
        '    case "{{stack}}" in\n      attic)\n        NAME="cache-{{env}}"\n        ;;\n'
        '      *) NAME="{{stack}}-{{env}}" ;;\n    esac\n'
        f'    {{{{tofu}}}} init \\\n      -backend-config="address={ADDRESS}/${{NAME}}"\n'
    )
    assert found(make_tree, {**TWO_STACKS, "justfile": justfile}) == {
        "attic": [("dev", "cache-dev"), (None, "cache-{environment}")],
        "runners": [("dev", "runners-dev"), (None, "runners-{environment}")],
    }


def test_a_stack_justfile_and_documented_values(make_tree: MakeTree):
    justfile = (
        'env := env("ENV", "dev")\nstate_name := "attic-" + env\n\ninit:\n'
        f'    tofu init -backend-config="address={ADDRESS}/{{{{state_name}}}}"\n'
    )
    docs = "Run:\n\n```bash\njust env=prod init attic\n# just env=comment init attic\n```\n"
    files = {"stacks/attic/backend.tf": BACKEND, "stacks/attic/Justfile": justfile, "docs/a.md": docs}
    expected = [("dev", "attic-dev"), ("prod", "attic-prod"), (None, "attic-{environment}")]
    assert found(make_tree, files) == {"attic": expected}


PIPELINE = """\
include:
  - local: /ci/base.yml
.job:
  extends: .backend
  script:
    - cd "$DIR"
    - |
      tofu init
      tofu plan
a:plan:
  extends: .job
  variables:
    DIR: stacks/attic
    TF_STATE_NAME: attic-review # a comment
a:plan:two:
  extends: a:plan
  variables:
    TF_STATE_NAME: "attic-staging"
debug:
  extends: .backend
  variables: {TF_STATE_NAME: attic-inert}
  script: [env]
validate:
  extends: .backend
  variables:
    TF_STATE_NAME: attic-validate
  script:
    - cd stacks/attic
    - tofu init -backend=false
unexpanded:
  extends: .job
  variables:
    DIR: stacks/attic
    TF_STATE_NAME: attic-${X:-production}
# off:
#   extends: a:plan
#   variables:
#     TF_STATE_NAME: attic-off
"""
BASE = """\
.backend:
  variables:
    TF_HTTP_ADDRESS: "${CI_API_V4_URL}/projects/${CI_PROJECT_ID}/terraform/state/${TF_STATE_NAME}"
"""


def test_job_variables_through_extends_and_files(make_tree: MakeTree):
    files = {"stacks/attic/backend.tf": BACKEND, ".gitlab-ci.yml": PIPELINE, "ci/base.yml": BASE}
    inventory = discover_inventory(make_tree(files))
    assert names(inventory.stacks) == {"attic": [("review", "attic-review"), ("staging", "attic-staging")]}
    places = {str(place) for place in inventory.stacks[0].states[1].evidence}
    assert places == {".gitlab-ci.yml:18", "ci/base.yml:3"}


def test_two_names_for_one_environment_are_both_listed(make_tree: MakeTree):
    pipeline = (
        "deploy:\n  variables:\n    STATE_NAME: runners-dev\n  script:\n    - cd stacks/gitlab-runners\n"
        f'    - tofu init -backend-config="address={ADDRESS}/$STATE_NAME"\n  environment:\n    name: runners/dev\n'
    )
    justfile = (
        f'init:\n    cd stacks/gitlab-runners && tofu init -backend-config="address={ADDRESS}/gitlab-runners-dev"\n'
    )
    files = {"stacks/gitlab-runners/b.tf": BACKEND, ".gitlab-ci.yml": pipeline, "Justfile": justfile}
    inventory = discover_inventory(make_tree(files))
    assert names(inventory.stacks) == {"gitlab-runners": [("dev", "gitlab-runners-dev"), ("dev", "runners-dev")]}
    conflicts = [hazard for hazard in inventory.hazards if hazard.code == "two-names-for-one-state"]
    assert [str(hazard.place) for hazard in conflicts] == [".gitlab-ci.yml:3", "Justfile:2"]


def test_a_workflow_with_a_closed_list_of_environments(make_tree: MakeTree):
    workflow = (
        "on:\n  workflow_dispatch:\n    inputs:\n      environment:\n        options: [dev, prod]\n        default: dev\n"
        f"env:\n  BASE: {ADDRESS}\njobs:\n  a:\n    defaults:\n      run:\n        working-directory: stacks/attic\n"
        "    env:\n      TF_HTTP_ADDRESS: ${{ env.BASE }}/attic-${{ inputs.environment }}\n"
        "    steps:\n      - run: tofu init\n"
    )
    files = {"stacks/attic/backend.tf": BACKEND, ".github/workflows/deploy.yml": workflow}
    assert found(make_tree, files) == {"attic": [("dev", "attic-dev"), ("prod", "attic-prod")]}


def test_scripts_that_change_directories_keep_their_states_apart(make_tree: MakeTree):
    script = (
        '#!/usr/bin/env bash\nENV="${1:-dev}"\ncd "$(dirname "$0")/../stacks/attic"\n'
        f'tofu init -backend-config="address={ADDRESS}/attic-$ENV"\ncd ../runners\n'
        f"tofu init -backend-config=address={ADDRESS}/runners-live\n"
    )
    assert found(make_tree, {**TWO_STACKS, "scripts/deploy": script}) == {
        "attic": [("dev", "attic-dev"), (None, "attic-{environment}")],
        "runners": [("live", "runners-live")],
    }


def test_chdir_and_subshells(make_tree: MakeTree):
    script = (
        f"(cd stacks/attic && tofu init -backend-config=address={ADDRESS}/attic-a)\n"
        f"(cd stacks/runners && tofu init -backend-config=address={ADDRESS}/runners-b)\n"
        f"tofu -chdir=stacks/attic init -backend-config=address={ADDRESS}/attic-c\n"
        f"tofu -chdir=stacks/runners init -backend=false\n"
    )
    assert found(make_tree, {**TWO_STACKS, "all.sh": script}) == {
        "attic": [("a", "attic-a"), ("c", "attic-c")],
        "runners": [("b", "runners-b")],
    }


def test_addresses_in_blocks_backend_files_and_tfvars(make_tree: MakeTree):
    files = {
        "a/main.tf": f'terraform {{\n  backend "http" {{\n    address = "{ADDRESS}/plain"\n  }}\n}}\n',
        "b/main.tf": f'terraform {{\n  backend "http" {{\n    address = "{ADDRESS}/b-${{var.env}}"\n  }}\n}}\n',
        "b/prod.tfvars": 'env = "prod"\n',
        "c/main.tf": BACKEND,
        "c/dev.http.tfbackend": f'address = "{ADDRESS}/c-dev"\n',
    }
    assert found(make_tree, files) == {
        "a": [("default", "plain")],
        "b": [("prod", "b-prod")],
        "c": [("dev", "c-dev")],
    }


def test_what_is_unknown_offline_stays_a_template(make_tree: MakeTree):
    pipeline = (
        "deploy:\n  script:\n    - cd stacks/attic\n"
        f"    - tofu init -backend-config=address={ADDRESS}/attic-$CI_COMMIT_REF_SLUG\n"
        "  environment: review\n"
    )
    assert found(make_tree, {**TWO_STACKS, ".gitlab-ci.yml": pipeline})["attic"] == [(None, "attic-{environment}")]


def test_gitlabs_wrapper_script_and_its_variables(make_tree: MakeTree):
    pipeline = (
        "deploy:\n  variables:\n    TF_ROOT: $CI_PROJECT_DIR/stacks/attic\n    TF_STATE_NAME: attic-live\n"
        "  script:\n    - gitlab-terraform init\n    - gitlab-terraform apply\n"
    )
    assert found(make_tree, {**TWO_STACKS, ".gitlab-ci.yml": pipeline}) == {
        "attic": [("live", "attic-live")],
        "runners": [],
    }


def test_other_backends_get_no_states(make_tree: MakeTree):
    files = {
        "a/main.tf": 'terraform {\n  backend "s3" {}\n}\n',
        "a/Justfile": f"init:\n    tofu init -backend-config=address={ADDRESS}/a-dev\n",
    }
    assert found(make_tree, files) == {"a": []}
