environment  = "dev"
cluster_name = "meadow"
