variable "project" {
  description = "Prefix of every name"
  type        = string
  default     = "attic"
}

variable "environment" {
  description = "Environment: dev or prod"
  type        = string
  default     = "dev"
}

variable "namespace" {
  description = "Kubernetes namespace"
  type        = string
  default     = "nix-cache-dev"
}

variable "cache_host" {
  description = "Host name of the cache"
  type        = string
  default     = "attic.dev.example.com"
}

variable "image_tag" {
  description = "Tag of the Attic server image"
  type        = string
  default     = "2026.03"
}

variable "replicas" {
  description = "Replicas by role"
  type        = map(number)
  default = {
    api = 1
    gc  = 1
  }
}

variable "retention_days" {
  description = "Days after which an unused path is collected"
  type        = number
  default     = 30
}

variable "caches" {
  description = "Caches that must exist"
  type = list(object({
    name        = string
    public      = bool
    priority    = number
    description = string
  }))
  default = [
    { name = "main", public = true, priority = 41, description = "Trusted builds – Größe <unbegrenzt> & geprüft" },
    { name = "pr", public = false, priority = 45, description = "Merge requests (kurzlebig) 数日" },
  ]
}

# -----------------------------------------------------------------------------
# Database
# -----------------------------------------------------------------------------

variable "database_instances" {
  description = "PostgreSQL instances"
  type        = number
  default     = 1
}

variable "database_storage" {
  description = "Volume per instance"
  type        = string
  default     = "10Gi"
}

variable "database_password" {
  description = "Password of the database user"
  type        = string
  sensitive   = true
  default     = "sample-attic-db-password"
}

# -----------------------------------------------------------------------------
# Object storage of the product
# -----------------------------------------------------------------------------

variable "use_minio" {
  description = "Run a MinIO tenant in the cluster instead of using s3_endpoint"
  type        = bool
  default     = true
}

variable "minio_servers" {
  description = "Servers of the MinIO tenant"
  type        = number
  default     = 1
}

variable "minio_volume_size" {
  description = "Volume per MinIO server"
  type        = string
  default     = "50Gi"
}

variable "s3_endpoint" {
  description = "S3 endpoint for NAR files when no MinIO tenant is used"
  type        = string
  default     = "https://objects.example.com"
}

variable "s3_region" {
  description = "S3 region for NAR files"
  type        = string
  default     = "us-east-1"
}

variable "s3_bucket_name" {
  description = "Bucket for NAR files"
  type        = string
  default     = "attic"
}

variable "s3_access_key_id" {
  description = "S3 access key for NAR files"
  type        = string
  default     = "sample-attic-access-key"
}

variable "s3_secret_access_key" {
  description = "S3 secret key for NAR files"
  type        = string
  sensitive   = true
  default     = "sample-attic-secret-key"
}

variable "jwt_signing_secret" {
  description = "Secret that signs cache tokens"
  type        = string
  sensitive   = true
  default     = "sample-attic-signing-secret"
}

variable "bazel_cache_gib" {
  description = "Size of the Bazel cache in GiB"
  type        = number
  default     = 50
}
