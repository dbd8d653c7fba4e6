-- Takes away every run whose worker has no session any more; it waits for another worker at
-- once, and the loss is counted: anew if the journal has another last entry than at the last loss. Returns one row per
-- run.
update runs
set worker_id = null, fence = fence + 1, available_at = now_ms(), is_recovery = true,
    losses = iif(lost_at_seq = last.seq, losses + 1, 1), lost_at_seq = last.seq
from (
    select r.run_id, coalesce((select max(j.seq) from journal j where j.run_id = r.run_id), 0) as seq
    from runs r
    where r.worker_id is not null and r.worker_id not in (select worker_id from workers)) last
where runs.run_id = last.run_id
returning runs.run_id
