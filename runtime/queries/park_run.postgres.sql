-- Puts run $1, held under fence $2, aside: it waits for a $3 (kind) named $4 until $5, for ever if that is null, and
-- for run $6 if it waits for a child. It is due at once if it was told something since it had been told $7 things, else
-- at $5 or its deadline. Fuel $8, memory $9, bytes in $10 and bytes out $11 are added to its attempt; with $12 it has
-- used the network outside steps. Returns whether it is due; no row if it was taken away.
-- What it was told is counted on the locked row: whoever tells it something is before the lock, and counted, or after
-- it, and finds the run parked.
with held as materialized (
    select r.run_id, r.num_attempts, r.signals from runs r
    -- By a function, so that the run is found by its key and not among all that are held.
    where r.run_id = $1 and r.fence = $2 and num_nonnulls(r.worker_id) = 1
    for update of r
), moment as materialized (
    select now_ms() as now from held
), used as (
    update attempts a
    set fuel_used = coalesce(a.fuel_used, 0) + $8, peak_memory_bytes = greatest(a.peak_memory_bytes, $9),
        bytes_in = coalesce(a.bytes_in, 0) + $10, bytes_out = coalesce(a.bytes_out, 0) + $11
    from held where a.run_id = $1 and a.seq = held.num_attempts
)
update runs r
set waiting_kind = $3, waiting_name = $4, waiting_until = $5::bigint, waiting_run_id = $6::uuid,
    available_at = case when held.signals <> $7 then now else least($5, r.deadline_at, far_ms()) end,
    worker_id = null, fence = r.fence + 1, losses = 0, lost_at_seq = 0, is_recovery = false,
    used_loose_io = r.used_loose_io or $12
from held, moment where r.run_id = $1
returning r.available_at <= now as is_due
