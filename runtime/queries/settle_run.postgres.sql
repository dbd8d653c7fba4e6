-- Ends the attempt of run $1, held under fence $2, with status $3, exit code $4, failure $5, $6, $7 (kind, message,
-- backtrace), and adds fuel $8, memory $9, bytes in $14 and bytes out $15 to it; with $16 it has used the network
-- outside steps. The run waits $10 milliseconds from the attempt's end for its next attempt, and with $11 the journal's
-- last entry, if it is a failure, is reopened: a step is to be executed again, and another call made anew. If $10 is
-- null the run ends as the attempt did, because of $12; so it does if the app is disabled. The run's output becomes $13
-- unless null. Returns whether it waits, and its parent if it has ended; no row, and no change, if the run was taken
-- away.
with held as materialized (
    select r.run_id, r.num_attempts, $10::bigint is not null and not a.disabled as is_retried,
        case when $10::bigint is not null and a.disabled then 'app_disabled' else $12 end as ended_because
    from runs r join apps a on a.name = r.app
    -- By a function, so that the run is found by its key and not among all that are held.
    where r.run_id = $1 and r.fence = $2 and num_nonnulls(r.worker_id) = 1
    for update of r
), moment as materialized (
    select now_ms() as now from held
), ended as (
    update attempts a
    set status = $3, ended_at = now, exit_code = $4, failure_kind = $5, failure_message = $6, failure_backtrace = $7,
        fuel_used = coalesce(a.fuel_used, 0) + $8, peak_memory_bytes = greatest(a.peak_memory_bytes, $9),
        bytes_in = coalesce(a.bytes_in, 0) + $14, bytes_out = coalesce(a.bytes_out, 0) + $15
    from held, moment where a.run_id = $1 and a.seq = held.num_attempts
), failed as materialized (
    select j.run_id, j.seq, j.kind from journal j, held
    where $11 and held.is_retried and j.run_id = $1 and j.state in ('failed', 'indeterminate')
        and j.seq = (select max(seq) from journal where run_id = $1)
), reopened as (
    update journal j set state = 'again', tries_before = j.tries_before + j.tries, tries = 0
    from failed f where f.kind = 'step' and j.run_id = f.run_id and j.seq = f.seq
), forgotten as (
    delete from journal j using failed f where f.kind <> 'step' and j.run_id = f.run_id and j.seq = f.seq
), answered as (
    update run_io io set output = $13 from held where $13 is not null and io.run_id = $1
)
update runs r
set status = case when is_retried then 'retrying' else $3 end,
    num_attempts = case when is_retried then r.num_attempts + 1 else r.num_attempts end,
    available_at = case when is_retried then now + $10 end,
    ended_at = case when is_retried then null else now end,
    ended_because = case when is_retried then null else held.ended_because end,
    worker_id = null, fence = r.fence + 1, losses = 0, lost_at_seq = 0, is_recovery = false,
    used_loose_io = r.used_loose_io or $16
from held, moment where r.run_id = $1
returning is_retried, case when not is_retried then r.parent_run_id end as parent_run_id
