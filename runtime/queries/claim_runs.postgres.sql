-- Hands up to $2 runs that have waited longest to worker $1, opens their attempts or goes on with
-- them, and returns all that their execution needs. No row if the session is lost. A run whose
-- code is not among the digests $3 (between commas) becomes `starting`, another `running`; one whose code is among the
-- digests $4 is left to other workers. A due retry of a disabled app ends its run, as the last attempt ended, and is
-- not returned.
-- `skip locked` lets workers claim side by side. The fence does not rise here: it rose when the
-- run last changed hands.
with due as materialized (
    select r.run_id, r.available_at, r.status = 'retrying' and a.disabled as is_skipped, r.is_recovery,
        v.digest, v.settings, $3 not like '%,' || v.digest || ',%' as is_cold, now_ms() as now
    from runs r
    join apps a on a.name = r.app
    join versions v on v.app = r.app and v.version = r.version
    where r.available_at <= (select now_ms())
        and ($4 not like '%,' || v.digest || ',%' or (r.status = 'retrying' and a.disabled))
        and exists (select 1 from workers w where w.worker_id = $1 and w.expires_at > now_ms())
        -- A run that went through other hands since this statement began is left to the next
        -- claim: its last log line and attempt may not be visible to this one.
        and r.fence = (select seen.fence from runs seen where seen.run_id = r.run_id)
    order by r.available_at, r.run_id limit $2
    for update of r skip locked
), skipped as (
    update runs r
    set status = (select a.status from attempts a where a.run_id = r.run_id and a.seq = r.num_attempts - 1),
        num_attempts = r.num_attempts - 1, ended_at = now, ended_because = 'app_disabled', available_at = null,
        fence = fence + 1
    from due where due.is_skipped and r.run_id = due.run_id
), claimed as (
    update runs r
    set worker_id = $1, available_at = null, pending_until = null, is_recovery = false,
        waiting_kind = null, waiting_name = null, waiting_until = null, waiting_run_id = null,
        status = case when is_cold then 'starting' else 'running' end,
        starting_at = case when is_cold then coalesce(r.starting_at, now) else r.starting_at end,
        started_at = case when is_cold then r.started_at else coalesce(r.started_at, now) end
    from due where not due.is_skipped and r.run_id = due.run_id
    returning r.*, due.available_at as waited_since, due.is_recovery as was_interrupted, due.digest,
        due.settings, due.is_cold, due.now
), opened as (
    insert into attempts (run_id, seq, status, starting_at, started_at)
    select run_id, num_attempts, status, case when is_cold then now end, case when not is_cold then now end
    from claimed
    on conflict (run_id, seq) do update
    set recoveries = attempts.recoveries + (
            select c.was_interrupted::integer from claimed c where c.run_id = attempts.run_id),
        status = excluded.status,
        starting_at = coalesce(attempts.starting_at, excluded.starting_at),
        started_at = coalesce(attempts.started_at, excluded.started_at)
    returning run_id, recoveries, coalesce(fuel_used, 0) as fuel_used
)
select c.run_id, c.fence, c.app, c.number, c.version, c.digest, c.settings, c.app_limits, c.limits, c.max_retries,
    c.retry_delay_ms, c.exponential, c.running_timeout_s, c.is_cold as is_starting, c.num_attempts, o.recoveries,
    c.was_interrupted as is_recovery, c.losses, coalesce(c.origin_run_id, c.run_id) as origin_run_id,
    coalesce(c.origin_at, c.created_at) as origin_at, c.now, c.deadline_at - c.now as until_deadline_ms,
    o.fuel_used, c.signals, io.input, io.parameters,
    (select coalesce(max(l.line_num), 0) from logs l where l.run_id = c.run_id) as last_line_num,
    (select coalesce(max(k.call_num), 0) from calls k where k.run_id = c.run_id) as last_call_num
from claimed c
join opened o on o.run_id = c.run_id
join run_io io on io.run_id = c.run_id
order by c.waited_since, c.run_id
