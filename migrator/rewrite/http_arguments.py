"""The arguments of the http backend (OpenTofu internal/backend/remote-state/http/backend.go) and their variables."""

HTTP_ARGUMENTS = frozenset(
    {
        "address", "lock_address", "unlock_address", "update_method", "lock_method", "unlock_method",
        "username", "password", "skip_cert_verification", "retry_max", "retry_wait_min", "retry_wait_max",
        "client_ca_certificate_pem", "client_certificate_pem", "client_private_key_pem", "headers",
    }
)  # fmt: skip
