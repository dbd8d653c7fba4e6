-- Hands up to $2 runs that have waited longest to worker $1, opens their attempts or goes on with
-- them, and returns all that their execution needs. No row if the session is lost. A run whose
-- code is not among the digests $3 (between commas) becomes `starting`, another `running`; one whose code is among the
-- digests $4 is left to other workers. A due retry of a disabled app ends its run, as the last attempt ended, and is
-- not returned.
-- The temporary table is this connection's, in memory: a claim that finds nothing writes nothing.
-- The fence does not rise here: it rose when the run last changed hands.
create temp table if not exists due (
    position integer primary key, run_id blob not null, is_skipped integer not null, is_cold integer not null,
    was_interrupted integer not null, now integer not null);

delete from due;

insert into due (run_id, is_skipped, is_cold, was_interrupted, now)
select r.run_id, r.status = 'retrying' and a.disabled, $3 not like '%,' || v.digest || ',%', r.is_recovery, now_ms()
from runs r
join apps a on a.name = r.app
join versions v on v.app = r.app and v.version = r.version
where r.available_at <= now_ms()
    and ($4 not like '%,' || v.digest || ',%' or (r.status = 'retrying' and a.disabled))
    and exists (select 1 from workers w where w.worker_id = $1 and w.expires_at > now_ms())
order by r.available_at, r.run_id limit $2;

update runs
set status = (select a.status from attempts a where a.run_id = runs.run_id and a.seq = runs.num_attempts - 1),
    num_attempts = num_attempts - 1, ended_at = now_ms(), ended_because = 'app_disabled', available_at = null,
    fence = fence + 1
where run_id in (select run_id from due where is_skipped);

delete from due where is_skipped;

update runs
set worker_id = $1, available_at = null, pending_until = null, is_recovery = false, waiting_kind = null,
    waiting_name = null, waiting_until = null, waiting_run_id = null, status = iif(d.is_cold, 'starting', 'running'),
    starting_at = iif(d.is_cold, coalesce(starting_at, d.now), starting_at),
    started_at = iif(d.is_cold, started_at, coalesce(started_at, d.now))
from due d where d.run_id = runs.run_id;

insert into attempts (run_id, seq, status, starting_at, started_at)
select r.run_id, r.num_attempts, r.status, iif(d.is_cold, d.now, null), iif(d.is_cold, null, d.now)
from due d join runs r on r.run_id = d.run_id
where true
on conflict (run_id, seq) do update
set recoveries = recoveries + (select d.was_interrupted from due d where d.run_id = excluded.run_id),
    status = excluded.status, starting_at = coalesce(starting_at, excluded.starting_at),
    started_at = coalesce(started_at, excluded.started_at);

select r.run_id, r.fence, r.app, r.number, r.version, v.digest, v.settings, r.app_limits, r.limits, r.max_retries,
    r.retry_delay_ms, r.exponential, r.running_timeout_s, d.is_cold as is_starting, r.num_attempts, a.recoveries,
    d.was_interrupted as is_recovery, r.losses, coalesce(r.origin_run_id, r.run_id) as origin_run_id,
    coalesce(r.origin_at, r.created_at) as origin_at, d.now, r.deadline_at - d.now as until_deadline_ms,
    coalesce(a.fuel_used, 0) as fuel_used, r.signals, io.input, io.parameters,
    (select coalesce(max(l.line_num), 0) from logs l where l.run_id = r.run_id) as last_line_num,
    (select coalesce(max(k.call_num), 0) from calls k where k.run_id = r.run_id) as last_call_num
from due d
join runs r on r.run_id = d.run_id
join attempts a on a.run_id = r.run_id and a.seq = r.num_attempts
join versions v on v.app = r.app and v.version = r.version
join run_io io on io.run_id = r.run_id
order by d.position
