# Runner dashboard: the web application in app/, and its monitoring.

terraform {
  required_version = ">= 1.6.0"
}

resource "terraform_data" "deployment" {
  input = {
    name     = "runner-dashboard"
    image    = "registry.example.com/acme/runner-dashboard:${var.image_tag}"
    replicas = var.replicas
    title    = var.title

    # Where the dashboard reads runners from; nothing to do with where this
    # stack keeps its state.
    gitlab_url = var.gitlab_url
  }
}

resource "terraform_data" "service_monitor" {
  count = var.monitoring ? 1 : 0

  input = {
    target   = terraform_data.deployment.output.name
    interval = "30s"
    labels   = ["state", "job", "instance"]
  }
}

resource "terraform_data" "route" {
  for_each = toset(var.hosts)

  input = {
    host    = each.key
    backend = terraform_data.deployment.output.name
  }
}

output "urls" {
  description = "Addresses of the dashboard"
  value       = [for route in terraform_data.route : "https://${route.output.host}/?q=<all>&state=online"]
}

output "title" {
  description = "Title in the page header"
  value       = terraform_data.deployment.output.title
}
