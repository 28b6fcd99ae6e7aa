# GitLab runners
#
# Runner managers for the Kubernetes executor, one per class of work.
#
# Usage:
#   just env=dev tofu-init gitlab-runners    # needs TF_HTTP_PASSWORD
#   just env=dev tofu-plan gitlab-runners
#
# cluster_name has no default: plans need {environment}.tfvars.

terraform {
  required_version = ">= 1.6.0"

  required_providers {
    terraform = {
      source = "terraform.io/builtin/terraform"
    }
  }
}

locals {
  runners = {
    for name, runner in var.runners : name => merge(runner, {
      release = "runner-${name}-${var.environment}"
      tags    = sort(concat(runner.tags, [var.environment]))
    })
  }
}

resource "terraform_data" "namespace" {
  input = "${var.namespace}-${var.environment}"
}

resource "terraform_data" "runner" {
  for_each = local.runners

  input = {
    release     = each.value.release
    cluster     = var.cluster_name
    namespace   = terraform_data.namespace.output
    privileged  = each.value.privileged
    concurrency = each.value.concurrency
    tags        = each.value.tags

    environment_variables = {
      ATTIC_SERVER       = var.attic_server
      ATTIC_CACHE        = var.attic_cache
      BAZEL_REMOTE_CACHE = var.bazel_remote_cache
    }
  }

  triggers_replace = [var.chart_version]
}

resource "terraform_data" "autoscaler" {
  for_each = { for name, runner in local.runners : name => runner if runner.concurrency > 4 }

  input = {
    target  = terraform_data.runner[each.key].output.release
    minimum = 1
    maximum = each.value.concurrency
  }
}

output "releases" {
  description = "Helm releases, by runner"
  value       = { for name, runner in terraform_data.runner : name => runner.output.release }
}

output "namespace" {
  description = "Namespace of the runner managers"
  value       = terraform_data.namespace.output
}

output "autoscaled" {
  description = "Runners with an autoscaler"
  value       = keys(terraform_data.autoscaler)
}
