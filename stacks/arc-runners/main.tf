# ARC runner scale sets
#
# GitHub Actions runners on Kubernetes: one controller, one scale set per class
# of work. Deployed by .github/workflows/deploy-arc-runners.yml.

terraform {
  required_version = ">= 1.6.0"
}

locals {
  controller_namespace = "arc-systems"
}

resource "terraform_data" "controller" {
  input = {
    namespace = local.controller_namespace
    chart     = "gha-runner-scale-set-controller"
    version   = var.chart_version
  }
}

resource "terraform_data" "scale_set" {
  for_each = var.scale_sets

  input = {
    name      = "${var.name_prefix}-${each.key}"
    config    = var.github_config_url
    namespace = "arc-runners"
    minimum   = each.value.minimum
    maximum   = each.value.maximum
    note      = each.value.note
  }

  triggers_replace = [terraform_data.controller.id]
}

output "scale_sets" {
  description = "Names for runs-on, by class of work"
  value       = { for name, scale_set in terraform_data.scale_set : name => scale_set.output.name }
}

output "capacity" {
  description = "Runners that can exist at the same time"
  value       = sum([for scale_set in terraform_data.scale_set : scale_set.output.maximum])
}
