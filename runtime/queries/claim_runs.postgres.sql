-- Hands up to $2 runs that have waited longest to worker $1, opens their attempts or goes on with
-- them, and returns all that their execution needs. No row if the session is lost.
-- `skip locked` lets workers claim side by side. The fence does not rise here: it rose when the
-- run last changed hands.
with due as materialized (
    select r.run_id, r.available_at
    from runs r
    where r.available_at <= (select now_ms())
        and exists (select 1 from workers w where w.worker_id = $1 and w.expires_at > now_ms())
        -- A run that went through other hands since this statement began is left to the next
        -- claim: its last log line and attempt may not be visible to this one.
        and r.fence = (select seen.fence from runs seen where seen.run_id = r.run_id)
    order by r.available_at, r.run_id limit $2
    for update of r skip locked
), claimed as (
    update runs r
    set worker_id = $1, status = 'running', available_at = null, started_at = coalesce(r.started_at, now_ms())
    from due where r.run_id = due.run_id
    returning r.*, due.available_at as waited_since
), opened as (
    insert into attempts (run_id, seq, status, started_at)
    select run_id, num_attempts, 'running', now_ms() from claimed
    on conflict (run_id, seq) do update set recoveries = attempts.recoveries + 1
    returning run_id, recoveries
)
select c.run_id, c.fence, c.app, c.number, c.version, v.digest, v.settings, c.max_retries, c.retry_delay_ms, c.exponential,
    c.num_attempts, o.recoveries, io.input, io.parameters,
    (select coalesce(max(l.line_num), 0) from logs l where l.run_id = c.run_id) as last_line_num
from claimed c
join opened o on o.run_id = c.run_id
join versions v on v.app = c.app and v.version = c.version
join run_io io on io.run_id = c.run_id
order by c.waited_since, c.run_id
