-- Ends the attempt of run $1, held under fence $2, with status $3, exit code $4, failure $5, $6, $7 (kind, message,
-- backtrace), and adds fuel $8, memory $9, bytes in $14 and bytes out $15 to it; with $16 it has used the network
-- outside steps. The run waits $10 milliseconds from the attempt's end for its next attempt, and with $11 the journal's
-- last entry, if it is a failure, is reopened: a step is to be executed again, and another call made anew. If $10 is
-- null the run ends as the attempt did, because of $12; so it does if the app is disabled. The run's output becomes $13
-- unless null. Returns whether it waits, and its parent if it has ended; no row, and no change, if the run was taken
-- away.
create temp table if not exists held (
    run_id blob primary key, num_attempts integer not null, is_retried integer not null, ended_because text,
    parent_run_id blob, now integer not null);

delete from held;

insert into held (run_id, num_attempts, is_retried, ended_because, parent_run_id, now)
select r.run_id, r.num_attempts, $10 is not null and not a.disabled,
    iif($10 is not null and a.disabled, 'app_disabled', $12), r.parent_run_id, now_ms()
from runs r join apps a on a.name = r.app
where r.run_id = $1 and r.fence = $2 and r.worker_id is not null;

update attempts
set status = $3, ended_at = held.now, exit_code = $4, failure_kind = $5, failure_message = $6, failure_backtrace = $7,
    fuel_used = coalesce(fuel_used, 0) + $8, peak_memory_bytes = max(coalesce(peak_memory_bytes, 0), $9),
    bytes_in = coalesce(bytes_in, 0) + $14, bytes_out = coalesce(bytes_out, 0) + $15
from held where attempts.run_id = held.run_id and attempts.seq = held.num_attempts;

update journal set state = 'again', tries_before = tries_before + tries, tries = 0
where $11 and state in ('failed', 'indeterminate') and kind = 'step'
    and run_id in (select run_id from held where is_retried) and seq = (select max(seq) from journal where run_id = $1);

delete from journal
where $11 and state in ('failed', 'indeterminate') and run_id in (select run_id from held where is_retried)
    and seq = (select max(seq) from journal where run_id = $1);

update run_io set output = $13 where $13 is not null and run_id in (select run_id from held);

update runs
set status = iif(held.is_retried, 'retrying', $3), num_attempts = runs.num_attempts + held.is_retried,
    available_at = iif(held.is_retried, held.now + $10, null), ended_at = iif(held.is_retried, null, held.now),
    ended_because = iif(held.is_retried, null, held.ended_because), worker_id = null, fence = fence + 1,
    losses = 0, lost_at_seq = 0, is_recovery = false, used_loose_io = used_loose_io or $16
from held where runs.run_id = held.run_id;

select is_retried, iif(is_retried, null, parent_run_id) as parent_run_id from held
