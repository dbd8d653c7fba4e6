-- Opens another attempt of run number $2 of app $1, if it crashed or errored, on version $3 unless null: it is due at
-- once. The journal's last entry, if it is a failure, is reopened: a step is to be executed again, and another call
-- made anew. Returns the run; no row if there is no such run, it is of another status or past its deadline, its parent
-- was cancelled, the app is disabled, or there is no such version.
with target as materialized (
    select r.run_id from runs r join apps a on a.name = r.app
    where r.app = $1 and r.number = $2 and r.status in ('crashed', 'errored') and not a.disabled
        and not exists (select 1 from runs p where p.run_id = r.parent_run_id and p.status = 'cancelled')
        and (r.deadline_at is null or r.deadline_at > now_ms())
        and ($3::integer is null or exists (select 1 from versions v where v.app = r.app and v.version = $3))
    for update of r
), failed as materialized (
    select j.run_id, j.seq, j.kind from journal j join target t on t.run_id = j.run_id
    where j.state in ('failed', 'indeterminate')
        and j.seq = (select max(l.seq) from journal l where l.run_id = t.run_id)
), reopened as (
    update journal j set state = 'again', tries_before = j.tries_before + j.tries, tries = 0
    from failed f where f.kind = 'step' and j.run_id = f.run_id and j.seq = f.seq
), forgotten as (
    delete from journal j using failed f where f.kind <> 'step' and j.run_id = f.run_id and j.seq = f.seq
)
update runs r
set status = 'retrying', num_attempts = r.num_attempts + 1, version = coalesce($3, r.version), available_at = now_ms(),
    ended_at = null, ended_because = null, fence = r.fence + 1, losses = 0, lost_at_seq = 0, is_recovery = false
from target t where r.run_id = t.run_id
returning r.run_id
