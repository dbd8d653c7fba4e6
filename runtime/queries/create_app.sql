-- Creates app $1 without a version. A taken name violates the primary key.
insert into apps (name, created_at) values ($1, now_ms())
returning name, active_version, max_retries, retry_delay_ms, exponential, created_at
