-- Deletes app $1 with all that belongs to it, if its revision is $2 or that is null and none of its runs is active. No
-- row if there is no such app, one of its runs is active, it is of another revision, or a run was started while this
-- waited for the app's row: what this statement sees is then out of date, ask again.
-- Components stay: another app may have the same. A run that is active again, because somebody asked for another
-- attempt while this waited for its row, stays, and so the deletion of its version fails, and with it the whole: ask
-- again.
with target as materialized (
    select a.name from apps a
    where a.name = $1 and ($2 is null or a.revision = $2)
        and not exists (select 1 from runs r where r.app = a.name and r.ended_at is null)
        and a.last_run_number = (select seen.last_run_number from apps seen where seen.name = a.name)
    for update of a
), gone as materialized (
    select r.run_id from runs r join target t on r.app = t.name
), gone_journal as (
    delete from journal where run_id in (select run_id from gone)
), gone_logs as (
    delete from logs where run_id in (select run_id from gone)
), gone_runs as (
    delete from runs where run_id in (select run_id from gone) and ended_at is not null
), gone_versions as (
    delete from versions where app in (select name from target)
)
delete from apps where name in (select name from target) returning name
