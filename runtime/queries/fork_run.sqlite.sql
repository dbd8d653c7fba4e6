-- Starts run $1 with the input, parameters, policy, running time and limits of run number $3 of app $2, on version $5 or that
-- run's, with the entries of its journal below $4. Returns the new run's number; no row if there is no such run or
-- version, the app is disabled, or one of those entries is missing or not final.
insert into runs (run_id, app, number, version, status, num_attempts, max_retries, retry_delay_ms, exponential,
    available_at, created_at, pending_until, running_timeout_s, forked_from_run_id, forked_from_seq, origin_run_id,
    origin_at, used_loose_io, app_limits, limits)
select $1, s.app, a.last_run_number + 1, v.version, 'pending', 1, s.max_retries, s.retry_delay_ms, s.exponential, n.now,
    n.now, n.now + a.pending_timeout_s * 1000, s.running_timeout_s, s.run_id, $4,
    coalesce(s.origin_run_id, s.run_id), coalesce(s.origin_at, s.created_at), s.used_loose_io,
    s.app_limits, s.limits
from apps a
join runs s on s.app = a.name and s.number = $3
join versions v on v.app = a.name and v.version = coalesce($5, s.version)
join (select now_ms() as now) n
where a.name = $2 and not a.disabled
    and (select count(*) from journal j
        where j.run_id = s.run_id and j.seq < $4 and j.state in ('finished', 'failed', 'indeterminate')) = $4 - 1;

update apps set last_run_number = last_run_number + 1 where name = (select app from runs where run_id = $1);

insert into run_io (run_id, input, parameters)
select r.run_id, io.input, io.parameters from runs r join run_io io on io.run_id = r.forked_from_run_id
where r.run_id = $1;

insert into journal (run_id, seq, attempt, version, kind, name, occurrence, request, state, payload, tries, tries_before,
    due_at, took_us, fuel, peak_memory_bytes, bytes_in, bytes_out, seeds, recorded_at)
select r.run_id, j.seq, 1, j.version, j.kind, j.name, j.occurrence, j.request, j.state, j.payload, j.tries, j.tries_before,
    j.due_at, j.took_us, j.fuel, j.peak_memory_bytes, j.bytes_in, j.bytes_out, j.seeds, j.recorded_at
from runs r join journal j on j.run_id = r.forked_from_run_id
where r.run_id = $1 and j.seq < $4;

select number from runs where run_id = $1
