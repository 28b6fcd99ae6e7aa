environment   = "prod"
cluster_name  = "orchard"
chart_version = "0.73.3"

runners = {
  docker = { privileged = false, concurrency = 40, tags = ["docker", "linux"] }
  dind   = { privileged = true, concurrency = 10, tags = ["dind", "privileged"] }
  nix    = { privileged = false, concurrency = 24, tags = ["nix", "flakes", "größe:xl"] }
  rocky8 = { privileged = false, concurrency = 2, tags = ["rocky8", "<legacy & rpm>"] }
}
