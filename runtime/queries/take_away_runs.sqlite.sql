-- Takes away every run whose worker has no session any more; it waits for another worker at
-- once. Returns one row per run.
update runs set worker_id = null, fence = fence + 1, available_at = now_ms()
where worker_id is not null and worker_id not in (select worker_id from workers)
returning run_id
