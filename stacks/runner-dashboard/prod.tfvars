image_tag  = "1.9.2"
replicas   = 2
title      = "Runners"
hosts      = ["runners.example.com", "runners.int.example.com"]
monitoring = true
