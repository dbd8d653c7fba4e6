-- Ends the attempt of run $1, held under fence $2. The run's status becomes $3; it waits $4
-- milliseconds from the attempt's end for its next attempt or, if $4 is null, is over. With $5
-- the journal's last entry goes if it is a failure. The attempt's status becomes $6, with exit
-- code $7, failure $8, $9, $10 (kind, message, backtrace), fuel $11, memory $12. The run's
-- output becomes $13 unless null. No row, and no change, if the run was taken away.
update attempts
set status = $6, ended_at = now_ms(), exit_code = $7, failure_kind = $8, failure_message = $9, failure_backtrace = $10,
    fuel_used = $11, peak_memory_bytes = $12
where run_id = $1
    and seq = (select num_attempts from runs where run_id = $1 and fence = $2 and worker_id is not null);

delete from journal
where $5 and failed and run_id = $1 and seq = (select max(seq) from journal where run_id = $1)
    and exists (select 1 from runs where run_id = $1 and fence = $2 and worker_id is not null);

update run_io set output = $13
where $13 is not null and run_id = $1
    and exists (select 1 from runs where run_id = $1 and fence = $2 and worker_id is not null);

update runs
set status = $3, num_attempts = iif($4 is null, num_attempts, num_attempts + 1),
    available_at = (select a.ended_at + $4 from attempts a where a.run_id = $1 and a.seq = num_attempts),
    ended_at = iif($4 is null, (select a.ended_at from attempts a where a.run_id = $1 and a.seq = num_attempts), null),
    worker_id = null, fence = fence + 1
where run_id = $1 and fence = $2 and worker_id is not null
returning run_id
