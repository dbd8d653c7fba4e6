-- Cancels the run number $2 of app $1 if it is active: takes it from its worker and ends its open
-- attempt; an attempt that was awaited counts no more. Returns the run; no row if there is none or it is final.
-- A claim that commits while this waits for the run opens an attempt that this statement cannot
-- see; an insert with `on conflict` finds it nevertheless.
with target as materialized (
    select run_id, num_attempts, status in ('starting', 'running') as attempt_is_open
    from runs where app = $1 and number = $2 and ended_at is null
    for update
), moment as materialized (
    select now_ms() as now from target
), ended as (
    insert into attempts (run_id, seq, status, started_at, ended_at)
    select run_id, num_attempts, 'cancelled', now, now from target, moment where attempt_is_open
    on conflict (run_id, seq) do update set status = excluded.status, ended_at = excluded.ended_at
)
update runs r
set status = 'cancelled', num_attempts = case when r.status = 'retrying' then r.num_attempts - 1 else r.num_attempts end,
    ended_at = now, worker_id = null, available_at = null, pending_until = null, fence = fence + 1,
    waiting_kind = null, waiting_name = null, waiting_until = null, waiting_run_id = null
from moment where r.run_id = (select run_id from target)
returning r.run_id, r.parent_run_id
