-- Takes away every run whose worker has no session any more; it waits for another worker at
-- once. Returns one row per run. A run that is being written is left to the next time.
update runs set worker_id = null, fence = fence + 1, available_at = now_ms()
where run_id in (
    select r.run_id from runs r
    where r.worker_id is not null and not exists (select 1 from workers w where w.worker_id = r.worker_id)
    for update of r skip locked)
returning run_id
