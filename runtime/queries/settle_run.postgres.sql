-- Ends the attempt of run $1, held under fence $2. The run's status becomes $3; it waits $4
-- milliseconds from the attempt's end for its next attempt or, if $4 is null, is over. With $5
-- the journal's last entry goes if it is a failure. The attempt's status becomes $6, with exit
-- code $7, failure $8, $9, $10 (kind, message, backtrace), fuel $11, memory $12. The run's
-- output becomes $13 unless null. No row, and no change, if the run was taken away.
with held as materialized (
    select run_id, num_attempts from runs where run_id = $1 and fence = $2 and worker_id is not null
    for update
), moment as materialized (
    select now_ms() as now from held
), ended as (
    update attempts a
    set status = $6, ended_at = now, exit_code = $7, failure_kind = $8, failure_message = $9, failure_backtrace = $10,
        fuel_used = $11, peak_memory_bytes = $12
    from held, moment where a.run_id = held.run_id and a.seq = held.num_attempts
), forgotten as (
    delete from journal j using held
    where $5 and j.run_id = held.run_id and j.failed and j.seq = (select max(seq) from journal where run_id = $1)
), answered as (
    update run_io io set output = $13 from held where $13 is not null and io.run_id = held.run_id
)
update runs r
set status = $3, num_attempts = case when $4 is null then r.num_attempts else r.num_attempts + 1 end,
    available_at = now + $4, ended_at = case when $4 is null then now end, worker_id = null, fence = r.fence + 1
from held, moment where r.run_id = held.run_id
returning r.run_id
