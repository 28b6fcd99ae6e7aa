# OpenTofu state backend
#
# State is managed by GitLab: address, locking and credentials are given
# when the stack is initialized (see docs/infrastructure/quick-start.md).

terraform {
  backend "http" {}
}
