variable "image_tag" {
  description = "Tag of the dashboard image"
  type        = string
  default     = "edge"
}

variable "replicas" {
  description = "Replicas of the web server"
  type        = number
  default     = 1
}

variable "title" {
  description = "Title in the page header"
  type        = string
  default     = "Runners — Entwicklung"
}

variable "gitlab_url" {
  description = "GitLab whose runners are shown"
  type        = string
  default     = "https://gitlab.example.com"
}

variable "hosts" {
  description = "Host names that serve the dashboard"
  type        = list(string)
  default     = ["runners.dev.example.com"]
}

variable "monitoring" {
  description = "Create a ServiceMonitor"
  type        = bool
  default     = false
}
