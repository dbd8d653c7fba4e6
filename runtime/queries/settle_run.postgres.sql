-- Ends the attempt of run $1, held under fence $2, with status $3, exit code $4, failure $5, $6, $7 (kind, message,
-- backtrace), fuel $8, memory $9. The run waits $10 milliseconds from the attempt's end for its next attempt, and with $11
-- the journal's last entry goes if it is a failure. If $10 is null the run ends as the attempt did, because of $12; so it
-- does if the app is disabled. The run's output becomes $13 unless null. Returns whether it waits; no row, and no change,
-- if the run was taken away.
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
        fuel_used = $8, peak_memory_bytes = $9
    from held, moment where a.run_id = $1 and a.seq = held.num_attempts
), forgotten as (
    delete from journal j using held
    where $11 and held.is_retried and j.run_id = $1 and j.failed
        and j.seq = (select max(seq) from journal where run_id = $1)
), answered as (
    update run_io io set output = $13 from held where $13 is not null and io.run_id = $1
)
update runs r
set status = case when is_retried then 'retrying' else $3 end,
    num_attempts = case when is_retried then r.num_attempts + 1 else r.num_attempts end,
    available_at = case when is_retried then now + $10 end,
    ended_at = case when is_retried then null else now end,
    ended_because = case when is_retried then null else held.ended_because end,
    worker_id = null, fence = r.fence + 1
from held, moment where r.run_id = $1
returning is_retried
