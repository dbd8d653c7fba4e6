-- Cancels the active children of cancelled runs, each as a run is cancelled on request. Returns one row per run; their
-- own children are for the next time.
-- A claim that commits while this waits for a run opens an attempt that this statement cannot
-- see; an insert with `on conflict` finds it nevertheless. Runs are locked in the order of their ids, as everywhere.
-- The other run is asked for in a subquery of one value, which is looked up by its key for each row: as a join it is
-- found by a walk through all runs there ever were.
with target as materialized (
    select c.run_id, c.num_attempts, c.status in ('starting', 'running') as attempt_is_open
    from runs c
    where c.parent_run_id is not null and c.ended_at is null
        and (select p.status from runs p where p.run_id = c.parent_run_id) = 'cancelled'
    order by c.run_id
    for update of c
), moment as materialized (
    select now_ms() as now from target limit 1
), ended as (
    insert into attempts (run_id, seq, status, started_at, ended_at)
    select run_id, num_attempts, 'cancelled', now, now from target, moment where attempt_is_open
    on conflict (run_id, seq) do update set status = excluded.status, ended_at = excluded.ended_at
)
update runs r
set status = 'cancelled', num_attempts = case when r.status = 'retrying' then r.num_attempts - 1 else r.num_attempts end,
    ended_at = now, worker_id = null, available_at = null, pending_until = null, fence = fence + 1,
    waiting_kind = null, waiting_name = null, waiting_until = null, waiting_run_id = null
from moment where r.run_id = any (array(select run_id from target))
returning r.run_id
