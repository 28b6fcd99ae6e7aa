# Remote state for the Attic binary cache stack
#
# The state of this stack is kept in GitLab's managed state storage and is
# reached through the HTTP backend. The block below is empty on purpose: what
# it needs is given from outside, in one of three ways.
#
# 1. CI/CD: TF_HTTP_* environment variables
#    The job template .tofu_gitlab_backend sets TF_HTTP_ADDRESS and its
#    companions from CI_API_V4_URL, CI_PROJECT_ID and CI_JOB_TOKEN, so that a
#    plain "tofu init" is enough.
#
# 2. Local work: flags or a file
#      export TF_HTTP_PASSWORD="glpat-..."
#      just tofu-init attic
#    or, with your own settings in a file that git ignores:
#      tofu init -reconfigure -backend-config=backend.local.hcl
#
# 3. No state at all: formatting, validation, editor support
#      tofu init -backend=false
#      tofu validate
#
# Each environment has a state of its own, named {stack}-{environment}.
# Two environments never share one. The full description is in
# docs/infrastructure/quick-start.md, and who may read a state in
# docs/infrastructure/security.md.

terraform {
  # The settings come from the environment or from the command line; nothing
  # that is secret or specific to one installation belongs in this file.
  backend "http" {
    # Required:
    #   TF_HTTP_ADDRESS         https://<host>/api/v4/projects/<id>/terraform/state/<name>
    #   TF_HTTP_LOCK_ADDRESS    <address>/lock
    #   TF_HTTP_UNLOCK_ADDRESS  <address>/lock
    #   TF_HTTP_USERNAME        any name for a personal access token
    #   TF_HTTP_PASSWORD        token with the api scope
    # Optional:
    #   TF_HTTP_LOCK_METHOD     POST
    #   TF_HTTP_UNLOCK_METHOD   DELETE
    #   TF_HTTP_RETRY_WAIT_MIN  seconds between two attempts
    # Locking works only if both methods are set.
  }
}
