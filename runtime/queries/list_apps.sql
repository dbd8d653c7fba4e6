-- All apps by name.
select name, active_version, max_retries, retry_delay_ms, exponential, created_at from apps order by name
