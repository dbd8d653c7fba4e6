-- Creates app $1 without a version, described by $2. A taken name violates the primary key.
insert into apps (name, description, created_at, updated_at) values ($1, $2, now_ms(), now_ms())
returning name, active_version, max_retries, retry_delay_ms, exponential, description, disabled, pending_timeout_s,
    running_timeout_s, revision, created_at
