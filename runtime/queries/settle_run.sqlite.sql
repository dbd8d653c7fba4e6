-- Ends the attempt of run $1, held under fence $2, with status $3, exit code $4, failure $5, $6, $7 (kind, message,
-- backtrace), fuel $8, memory $9. The run waits $10 milliseconds from the attempt's end for its next attempt, and with $11
-- the journal's last entry goes if it is a failure. If $10 is null the run ends as the attempt did, because of $12; so it
-- does if the app is disabled. The run's output becomes $13 unless null. Returns whether it waits; no row, and no change,
-- if the run was taken away.
create temp table if not exists held (
    run_id blob primary key, num_attempts integer not null, is_retried integer not null, ended_because text,
    now integer not null);

delete from held;

insert into held (run_id, num_attempts, is_retried, ended_because, now)
select r.run_id, r.num_attempts, $10 is not null and not a.disabled,
    iif($10 is not null and a.disabled, 'app_disabled', $12), now_ms()
from runs r join apps a on a.name = r.app
where r.run_id = $1 and r.fence = $2 and r.worker_id is not null;

update attempts
set status = $3, ended_at = held.now, exit_code = $4, failure_kind = $5, failure_message = $6, failure_backtrace = $7,
    fuel_used = $8, peak_memory_bytes = $9
from held where attempts.run_id = held.run_id and attempts.seq = held.num_attempts;

delete from journal
where $11 and failed and run_id in (select run_id from held where is_retried)
    and seq = (select max(seq) from journal where run_id = $1);

update run_io set output = $13 where $13 is not null and run_id in (select run_id from held);

update runs
set status = iif(held.is_retried, 'retrying', $3), num_attempts = runs.num_attempts + held.is_retried,
    available_at = iif(held.is_retried, held.now + $10, null), ended_at = iif(held.is_retried, null, held.now),
    ended_because = iif(held.is_retried, null, held.ended_because), worker_id = null, fence = fence + 1
from held where runs.run_id = held.run_id;

select is_retried from held
