-- Starts run $1 with the input, parameters, policy, running time and limits of run number $3 of app $2, on version $5 or that
-- run's, with the entries of its journal below $4. Returns the new run's number; no row if there is no such run or
-- version, the app is disabled, or one of those entries is missing or not final.
-- The app's row is locked until the commit, which is what makes the numbers gapless.
with target as materialized (
    select s.*, v.version as new_version, a.pending_timeout_s, now_ms() as now
    from apps a
    join runs s on s.app = a.name and s.number = $3
    join versions v on v.app = a.name and v.version = coalesce($5, s.version)
    where a.name = $2 and not a.disabled
        and (select count(*) from journal j
            where j.run_id = s.run_id and j.seq < $4 and j.state in ('finished', 'failed', 'indeterminate')) = $4 - 1
    for update of a
), numbered as (
    update apps a set last_run_number = a.last_run_number + 1 from target t where a.name = t.app
    returning a.last_run_number
), run as (
    insert into runs (run_id, app, number, version, status, num_attempts, max_retries, retry_delay_ms, exponential,
        available_at, created_at, pending_until, running_timeout_s, forked_from_run_id, forked_from_seq, origin_run_id,
        origin_at, used_loose_io, app_limits, limits)
    select $1, app, last_run_number, new_version, 'pending', 1, max_retries, retry_delay_ms, exponential, now, now,
        now + pending_timeout_s * 1000::bigint, running_timeout_s, run_id, $4,
        coalesce(origin_run_id, run_id), coalesce(origin_at, created_at), used_loose_io, app_limits, limits
    from target, numbered
    returning number
), io as (
    insert into run_io (run_id, input, parameters)
    select $1, io.input, io.parameters from run_io io join target t on t.run_id = io.run_id
), kept as (
    insert into journal (run_id, seq, attempt, version, kind, name, occurrence, request, state, payload, tries,
        tries_before, due_at, took_us, fuel, peak_memory_bytes, bytes_in, bytes_out, seeds, recorded_at)
    select $1, j.seq, 1, j.version, j.kind, j.name, j.occurrence, j.request, j.state, j.payload, j.tries, j.tries_before,
        j.due_at, j.took_us, j.fuel, j.peak_memory_bytes, j.bytes_in, j.bytes_out, j.seeds, j.recorded_at
    from journal j join target t on t.run_id = j.run_id where j.seq < $4
)
select number from run
