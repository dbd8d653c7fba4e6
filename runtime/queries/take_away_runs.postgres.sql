-- Takes away every run whose worker has no session any more; it waits for another worker at
-- once, and the loss is counted: anew if the journal has another last entry than at the last loss. Returns one row per
-- run. A run that is being written is left to the next time.
with taken as materialized (
    select r.run_id, coalesce((select max(j.seq) from journal j where j.run_id = r.run_id), 0) as last_seq
    from runs r
    where r.worker_id is not null and not exists (select 1 from workers w where w.worker_id = r.worker_id)
    for update of r skip locked
)
update runs r
set worker_id = null, fence = r.fence + 1, available_at = now_ms(), is_recovery = true,
    losses = case when r.lost_at_seq = last_seq then r.losses + 1 else 1 end, lost_at_seq = last_seq
from taken where r.run_id = taken.run_id
returning r.run_id
