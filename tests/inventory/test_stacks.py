from migrator.inventory.model import Place
from migrator.inventory.stacks import discover_stacks, is_gitlab_backend
from tests.inventory.conftest import MakeTree

HTTP = 'terraform {\n  backend "http" {}\n}\n'


def test_a_directory_with_a_backend_is_a_stack_and_a_module_is_not(make_tree: MakeTree):
    tree = make_tree(
        {
            "stacks/net/backend.tf": HTTP,
            "stacks/net/main.tf": 'module "vpc" {\n  source = "../../modules/vpc"\n}\n',
            "modules/vpc/main.tf": 'provider "aws" {}\nresource "aws_vpc" "this" {}\n',
            "modules/loose/main.tf": 'resource "x" "y" {}\n',
            "local/main.tf": 'provider "aws" {}\n',
        }
    )
    stacks = discover_stacks(tree)
    assert [(stack.name, stack.directory) for stack in stacks] == [("local", "local"), ("net", "stacks/net")]
    assert stacks[0].backend is None
    assert stacks[1].backend is not None
    assert stacks[1].backend.type == "http"
    assert stacks[1].backend.place == Place(path="stacks/net/backend.tf", start_line=2, end_line=2)


def test_equal_directory_names_are_told_apart_by_their_path(make_tree: MakeTree):
    tree = make_tree({"eu/net/a.tf": HTTP, "us/net/a.tf": HTTP, "us/dns/a.tf": HTTP, "a.tf": HTTP})
    assert [stack.name for stack in discover_stacks(tree)] == ["root", "eu/net", "dns", "us/net"]


def test_an_override_replaces_the_block_and_tofu_hides_tf(make_tree: MakeTree):
    s3 = 'terraform {\n  backend "s3" {}\n}\n'
    tree = make_tree(
        {
            "a/backend.tf": HTTP,
            "a/backend_override.tf": s3,
            "b/backend.tf": s3,
            "b/backend.tofu": HTTP,
            "c/backend.tf": HTTP,
            "c/#backend.tf#": s3,
            "c/.hidden.tf": s3,
            "c/backend.tf~": s3,
        }
    )
    found = {stack.name: stack.backend.type for stack in discover_stacks(tree) if stack.backend}
    assert found == {"a": "s3", "b": "http", "c": "http"}


def test_json_syntax_and_cloud(make_tree: MakeTree):
    tree = make_tree(
        {
            "a/main.tf.json": '{\n  "terraform": [{\n    "backend": {"http": {\n      "address": "https://x/terraform/state/y"\n    }}\n  }]\n}\n',
            "b/main.tf": "terraform {\n  cloud {}\n}\n",
        }
    )
    json_stack, cloud = discover_stacks(tree)
    assert json_stack.backend is not None
    assert json_stack.backend.place == Place(path="a/main.tf.json", start_line=3, end_line=5)
    assert is_gitlab_backend(json_stack)
    assert cloud.backend is not None
    assert cloud.backend.type == "cloud"
    assert not is_gitlab_backend(cloud)


def test_an_http_backend_of_somebody_else_is_not_gitlab(make_tree: MakeTree):
    tree = make_tree(
        {"a/b.tf": 'terraform {\n  backend "http" {\n    address = "https://state.example.com/a"\n  }\n}\n'}
    )
    (stack,) = discover_stacks(tree)
    assert not is_gitlab_backend(stack)


def test_lookalikes_and_broken_files_are_no_stacks(make_tree: MakeTree):
    tree = make_tree(
        {
            "m/main.tf": 'resource "i" "x" {\n  backend {\n    service = "http"\n  }\n}\n# terraform {\n#   backend "http" {}\n# }\n',
            "n/main.tf": 'terraform {\n  backend "http" {\n',
            "o/main.tf.json": '{"terraform": ',
            "p/main.tf": b'terraform {\n  backend "http" {} # \xff\n}\n',
        }
    )
    assert discover_stacks(tree) == ()
