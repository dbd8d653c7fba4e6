-- Ends the session $1 and gives back the runs it holds. Returns one row per run.
delete from workers where worker_id = $1;

update runs set worker_id = null, fence = fence + 1, available_at = now_ms(), is_recovery = true where worker_id = $1
returning run_id
