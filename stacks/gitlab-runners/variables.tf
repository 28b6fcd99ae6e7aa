variable "environment" {
  description = "Environment: dev or prod"
  type        = string
}

variable "cluster_name" {
  description = "Cluster that the runners register from"
  type        = string
}

variable "namespace" {
  description = "Prefix of the namespace"
  type        = string
  default     = "gitlab-runners"
}

variable "chart_version" {
  description = "Version of the runner chart"
  type        = string
  default     = "0.74.1"
}

variable "attic_server" {
  description = "Attic server that is injected into jobs"
  type        = string
  default     = "http://attic-api.nix-cache.svc:8080"
}

variable "attic_cache" {
  description = "Attic cache that is injected into jobs"
  type        = string
  default     = "main"
}

variable "bazel_remote_cache" {
  description = "Bazel cache that is injected into jobs"
  type        = string
  default     = "grpc://bazel-cache.nix-cache.svc:9092"
}

variable "runners" {
  description = "Runners, by class of work"
  type = map(object({
    privileged  = bool
    concurrency = number
    tags        = list(string)
  }))
  default = {
    docker = { privileged = false, concurrency = 8, tags = ["docker", "linux"] }
    dind   = { privileged = true, concurrency = 4, tags = ["dind", "privileged"] }
    nix    = { privileged = false, concurrency = 6, tags = ["nix", "flakes", "größe:m"] }
  }
}
