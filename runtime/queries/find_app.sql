-- The app $1: one row, or none if there is no such app.
select name, active_version, max_retries, retry_delay_ms, exponential, created_at from apps where name = $1
