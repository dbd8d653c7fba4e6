-- Cancels the run number $2 of app $1 if it is active: takes it from its worker and ends its open
-- attempt; an attempt that was awaited counts no more. Returns the run; no row if there is none or it is final.
update runs
set status = 'cancelled', num_attempts = iif(status = 'retrying', num_attempts - 1, num_attempts), ended_at = now_ms(),
    worker_id = null, available_at = null, pending_until = null, fence = fence + 1,
    waiting_kind = null, waiting_name = null, waiting_until = null, waiting_run_id = null
where app = $1 and number = $2 and ended_at is null
returning run_id, parent_run_id;

update attempts set status = 'cancelled', ended_at = r.ended_at
from runs r
where r.app = $1 and r.number = $2 and r.ended_at is not null and attempts.run_id = r.run_id
    and attempts.status in ('starting', 'running')
