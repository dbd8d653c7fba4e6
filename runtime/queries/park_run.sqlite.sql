-- Puts run $1, held under fence $2, aside: it waits for a $3 (kind) named $4 until $5, for ever if that is null, and
-- for run $6 if it waits for a child. It is due at once if it was told something since it had been told $7 things, else
-- at $5 or its deadline. Fuel $8, memory $9, bytes in $10 and bytes out $11 are added to its attempt; with $12 it has
-- used the network outside steps. Returns whether it is due; no row if it was taken away.
update attempts
set fuel_used = coalesce(fuel_used, 0) + $8, peak_memory_bytes = max(coalesce(peak_memory_bytes, 0), $9),
    bytes_in = coalesce(bytes_in, 0) + $10, bytes_out = coalesce(bytes_out, 0) + $11
where (run_id, seq) = (
    select run_id, num_attempts from runs where run_id = $1 and fence = $2 and worker_id is not null);

update runs
set waiting_kind = $3, waiting_name = $4, waiting_until = $5, waiting_run_id = $6,
    available_at = iif(signals <> $7, now_ms(), min(coalesce($5, far_ms()), coalesce(deadline_at, far_ms()), far_ms())),
    worker_id = null, fence = fence + 1, losses = 0, lost_at_seq = 0, is_recovery = false,
    used_loose_io = used_loose_io or $12
where run_id = $1 and fence = $2 and worker_id is not null
returning available_at <= now_ms() as is_due
