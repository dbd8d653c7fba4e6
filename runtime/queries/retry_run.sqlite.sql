-- Opens another attempt of run number $2 of app $1, if it crashed or errored, on version $3 unless null: it is due at
-- once. The journal's last entry, if it is a failure, is reopened: a step is to be executed again, and another call
-- made anew. Returns the run; no row if there is no such run, it is of another status or past its deadline, its parent
-- was cancelled, the app is disabled, or there is no such version.
create temp table if not exists retried (run_id blob primary key);

delete from retried;

insert into retried (run_id)
select r.run_id from runs r join apps a on a.name = r.app
where r.app = $1 and r.number = $2 and r.status in ('crashed', 'errored') and not a.disabled
    and not exists (select 1 from runs p where p.run_id = r.parent_run_id and p.status = 'cancelled')
    and (r.deadline_at is null or r.deadline_at > now_ms())
    and ($3 is null or exists (select 1 from versions v where v.app = r.app and v.version = $3));

update journal set state = 'again', tries_before = tries_before + tries, tries = 0
where run_id in (select run_id from retried) and state in ('failed', 'indeterminate') and kind = 'step'
    and seq = (select max(l.seq) from journal l where l.run_id = journal.run_id);

delete from journal
where run_id in (select run_id from retried) and state in ('failed', 'indeterminate')
    and seq = (select max(l.seq) from journal l where l.run_id = journal.run_id);

update runs
set status = 'retrying', num_attempts = num_attempts + 1, version = coalesce($3, version), available_at = now_ms(),
    ended_at = null, ended_because = null, fence = fence + 1, losses = 0, lost_at_seq = 0, is_recovery = false
where run_id in (select run_id from retried)
returning run_id
