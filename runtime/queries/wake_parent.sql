-- Tells run $1 that its child $2 has ended: it is due at once if it waits for that. No row if it has ended itself.
update runs
set signals = signals + 1,
    available_at = case when waiting_run_id = $2 and available_at > now_ms() then now_ms() else available_at end
where run_id = $1 and ended_at is null
returning run_id
