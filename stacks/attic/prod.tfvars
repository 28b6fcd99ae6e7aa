environment        = "prod"
namespace          = "nix-cache"
cache_host         = "attic.example.com"
database_instances = 3
database_storage   = "100Gi"
minio_servers      = 4
minio_volume_size  = "500Gi"
retention_days     = 90
bazel_cache_gib    = 400

replicas = {
  api = 3
  gc  = 1
}
