-- Starts run $1 of app $2, of version $3 or, if that is null, the active one, with input $4 and
-- parameters $5, under the policy $6, $7, $8 (retries, delay, backoff) or the app's where null.
-- Returns the run; no row if the app or the version does not exist.
-- The app's row is locked until the commit, which is what makes the numbers gapless.
with numbered as (
    update apps a set last_run_number = a.last_run_number + 1
    from versions v
    where a.name = $2 and v.app = a.name and v.version = coalesce($3, a.active_version)
    returning a.name, a.last_run_number, v.version, a.max_retries, a.retry_delay_ms, a.exponential, now_ms() as now
), run as (
    insert into runs (run_id, app, number, version, status, num_attempts, max_retries, retry_delay_ms, exponential,
        available_at, created_at)
    select $1, name, last_run_number, version, 'pending', 1, coalesce($6, max_retries),
        coalesce($7, retry_delay_ms), coalesce($8, exponential), now, now
    from numbered
    returning run_id, app, number, version, status, num_attempts, max_retries, retry_delay_ms, exponential, created_at,
        started_at, ended_at
), io as (
    insert into run_io (run_id, input, parameters) select run_id, $4, $5 from run
)
select * from run
