name_prefix = "acme"

scale_sets = {
  docker = { minimum = 1, maximum = 20, note = "<default>" }
  dind   = { minimum = 0, maximum = 6, note = "privileged" }
  nix    = { minimum = 1, maximum = 12, note = "flakes & cache ✓" }
}
