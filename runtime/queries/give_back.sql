-- Gives back run $1, held under fence $2: it waits for a worker at once. No row if it was taken
-- away.
update runs set worker_id = null, fence = fence + 1, available_at = now_ms(), is_recovery = true
where run_id = $1 and fence = $2 and worker_id is not null
returning run_id
