# Attic binary cache
#
# Deploys the Nix binary cache of the platform: database, object storage, API
# server, garbage collector and ingress, plus the Bazel remote cache that
# shares its namespace.
#
# Usage:
#   export TF_HTTP_PASSWORD="glpat-..."   # GitLab token for the state backend
#   just tofu-init attic
#   just tofu-plan attic
#   just tofu-apply attic
#
# Everything is modelled with terraform_data, so a plan needs no provider and
# no cluster.

terraform {
  required_version = ">= 1.6.0"
}

# =============================================================================
# Names
# =============================================================================

locals {
  name_prefix = "${var.project}-${var.environment}"
  namespace   = var.namespace

  labels = {
    "app.kubernetes.io/part-of"    = "attic"
    "app.kubernetes.io/managed-by" = "opentofu"
    "acme.example/environment"     = var.environment
  }

  # Retention is written down as prose for the status page; it is kept as it
  # is, markup characters included.
  retention_note = "<${var.retention_days} d & unpinned> → collected"

  database_url = "postgres://attic:${var.database_password}@${local.name_prefix}-db-rw:5432/attic"
}

# =============================================================================
# Namespace
# =============================================================================

resource "terraform_data" "namespace" {
  input = {
    name   = local.namespace
    labels = local.labels
  }
}

# =============================================================================
# Database: CloudNativePG cluster
# =============================================================================

resource "terraform_data" "database" {
  input = {
    name      = "${local.name_prefix}-db"
    namespace = terraform_data.namespace.output.name
    instances = var.database_instances
    storage   = var.database_storage
    # Continuous archiving goes to the object storage below.
    backup = {
      schedule  = "0 30 2 * * *"
      retention = "14d"
    }
  }
}

resource "terraform_data" "database_credentials" {
  input = {
    username = "attic"
    password = var.database_password
  }

  triggers_replace = [terraform_data.database.output.name]
}

# =============================================================================
# Object storage of the product (NAR files). This is data that Attic serves.
# =============================================================================

resource "terraform_data" "minio_tenant" {
  count = var.use_minio ? 1 : 0

  input = {
    name    = "${local.name_prefix}-minio"
    servers = var.minio_servers
    volume  = var.minio_volume_size
    buckets = ["attic", "attic-db-backup"]
  }
}

resource "terraform_data" "object_storage" {
  input = {
    endpoint      = var.use_minio ? "http://${local.name_prefix}-minio.${local.namespace}.svc:9000" : var.s3_endpoint
    region        = var.s3_region
    bucket        = var.s3_bucket_name
    access_key_id = var.s3_access_key_id
    use_tls       = !var.use_minio
  }
}

resource "terraform_data" "object_storage_credentials" {
  input = {
    access_key_id     = var.s3_access_key_id
    secret_access_key = var.s3_secret_access_key
  }
}

# =============================================================================
# API server
# =============================================================================

resource "terraform_data" "server_config" {
  input = <<-EOT
    listen = "[::]:8080"
    allowed-hosts = ["${var.cache_host}"]

    [database]
    heartbeat = true

    [chunking]
    nar-size-threshold = 65536
    min-size = 16384
    avg-size = 65536
    max-size = 262144

    [garbage-collection]
    interval = "12 hours"
    default-retention-period = "${var.retention_days} days"
    # ${local.retention_note}
  EOT
}

resource "terraform_data" "server" {
  for_each = var.replicas

  input = {
    name      = "${local.name_prefix}-${each.key}"
    role      = each.key
    replicas  = each.value
    image     = "registry.example.com/acme/attic:${var.image_tag}"
    namespace = terraform_data.namespace.output.name
    config    = sha256(terraform_data.server_config.output)
  }

  triggers_replace = {
    database = terraform_data.database.output.name
    storage  = terraform_data.object_storage.output.endpoint
  }
}

resource "terraform_data" "signing_key" {
  input = var.jwt_signing_secret
}

# =============================================================================
# Caches: created by scripts/cache-init.sh once the server answers
# =============================================================================

resource "terraform_data" "cache" {
  for_each = { for cache in var.caches : cache.name => cache }

  input = {
    name        = each.value.name
    public      = each.value.public
    priority    = each.value.priority
    description = each.value.description
  }
}

# =============================================================================
# Bazel remote cache
# =============================================================================

resource "terraform_data" "bazel_cache" {
  input = {
    name     = "bazel-cache"
    grpc     = "grpc://bazel-cache.${local.namespace}.svc:9092"
    max_size = var.bazel_cache_gib
  }
}

# =============================================================================
# Ingress and autoscaling
# =============================================================================

resource "terraform_data" "ingress" {
  input = {
    host = var.cache_host
    tls  = var.environment == "prod"
    paths = [
      { path = "/", backend = { service = "${local.name_prefix}-api", port = 8080 } },
      { path = "/metrics", backend = { service = "${local.name_prefix}-api", port = 9090 } },
    ]
  }
}

resource "terraform_data" "autoscaler" {
  input = {
    target  = terraform_data.server["api"].output.name
    minimum = var.replicas["api"]
    maximum = var.replicas["api"] * 4
  }
}

check "retention_is_sane" {
  assert {
    condition     = var.retention_days >= 7
    error_message = "A retention below a week removes paths that a nightly build still uses."
  }
}

# =============================================================================
# Outputs
# =============================================================================

output "cache_url" {
  description = "Address that clients substitute from"
  value       = "https://${var.cache_host}"
}

output "namespace" {
  description = "Namespace of every object of this stack"
  value       = terraform_data.namespace.output.name
}

output "caches" {
  description = "Caches, by name"
  value       = { for name, cache in terraform_data.cache : name => cache.output.description }
}

output "bazel_cache_endpoint" {
  description = "gRPC address for --remote_cache"
  value       = terraform_data.bazel_cache.output.grpc
}

output "retention_note" {
  description = "Retention, as the status page prints it"
  value       = local.retention_note
}

output "token_secret" {
  description = "Secret that signs cache tokens; read by scripts/generate-attic-token.sh"
  value       = terraform_data.signing_key.output
  sensitive   = true
}

output "database_url" {
  description = "Connection string of the API server"
  value       = local.database_url
  sensitive   = true
}

output "s3_secret_access_key" {
  description = "Secret key of the product's object storage"
  value       = terraform_data.object_storage_credentials.output.secret_access_key
  sensitive   = true
}
