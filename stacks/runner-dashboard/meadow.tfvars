# Demonstration on the meadow cluster; kept out of every pipeline.
title = "Runners (meadow)"
hosts = ["runners.meadow.example.com"]
