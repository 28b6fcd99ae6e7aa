# GitLab-managed OpenTofu state for the ARC runner scale sets.
# Authentication: CI_JOB_TOKEN in pipelines, a personal access token in
# TF_HTTP_PASSWORD on a workstation. The address of the state is given when
# the stack is initialized.

terraform {
  backend "http" {}
}
