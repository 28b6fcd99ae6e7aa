variable "name_prefix" {
  description = "Prefix of the names that workflows use in runs-on"
  type        = string
  default     = "acme-dev"
}

variable "github_config_url" {
  description = "Organization or repository that the scale sets serve"
  type        = string
  default     = "https://github.com/acme"
}

variable "chart_version" {
  description = "Version of both ARC charts"
  type        = string
  default     = "0.12.1"
}

variable "scale_sets" {
  description = "Scale sets, by class of work"
  type = map(object({
    minimum = number
    maximum = number
    note    = string
  }))
  default = {
    docker = { minimum = 0, maximum = 4, note = "<default>" }
    nix    = { minimum = 0, maximum = 2, note = "flakes & cache ✓" }
  }
}
