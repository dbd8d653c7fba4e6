-- Hands up to $2 runs that have waited longest to worker $1, opens their attempts or goes on with
-- them, and returns all that their execution needs. No row if the session is lost.
-- The temporary table is this connection's, in memory: a claim that finds nothing writes nothing.
-- The fence does not rise here: it rose when the run last changed hands.
create temp table if not exists due (position integer primary key, run_id blob not null);

delete from due;

insert into due (run_id)
select r.run_id from runs r
where r.available_at <= now_ms()
    and exists (select 1 from workers w where w.worker_id = $1 and w.expires_at > now_ms())
order by r.available_at, r.run_id limit $2;

update runs
set worker_id = $1, status = 'running', available_at = null, started_at = coalesce(started_at, now_ms())
where run_id in (select run_id from due);

insert into attempts (run_id, seq, status, started_at)
select r.run_id, r.num_attempts, 'running', now_ms() from due d join runs r on r.run_id = d.run_id
where true
on conflict (run_id, seq) do update set recoveries = recoveries + 1;

select r.run_id, r.fence, r.app, r.number, r.version, v.digest, v.settings, r.max_retries, r.retry_delay_ms, r.exponential,
    r.num_attempts, a.recoveries, io.input, io.parameters,
    (select coalesce(max(l.line_num), 0) from logs l where l.run_id = r.run_id) as last_line_num
from due d
join runs r on r.run_id = d.run_id
join attempts a on a.run_id = r.run_id and a.seq = r.num_attempts
join versions v on v.app = r.app and v.version = r.version
join run_io io on io.run_id = r.run_id
order by d.position
