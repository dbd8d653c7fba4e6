-- Cancels the active children of cancelled runs, each as a run is cancelled on request. Returns one row per run; their
-- own children are for the next time.
create temp table if not exists orphans (run_id blob primary key);

delete from orphans;

insert into orphans (run_id)
select c.run_id from runs c
where c.parent_run_id is not null and c.ended_at is null
    and (select p.status from runs p where p.run_id = c.parent_run_id) = 'cancelled';

update attempts set status = 'cancelled', ended_at = now_ms()
where run_id in (select run_id from orphans) and status in ('starting', 'running');

update runs
set status = 'cancelled', num_attempts = iif(status = 'retrying', num_attempts - 1, num_attempts), ended_at = now_ms(),
    worker_id = null, available_at = null, pending_until = null, fence = fence + 1,
    waiting_kind = null, waiting_name = null, waiting_until = null, waiting_run_id = null
where run_id in (select run_id from orphans)
returning run_id
