-- Deletes app $1 with all that belongs to it, if its revision is $2 or that is null and none of its runs is active. No
-- row if there is no such app, one of its runs is active, or it is of another revision.
-- Components stay: another app may have the same.
create temp table if not exists doomed (name text primary key);

delete from doomed;

insert into doomed (name)
select a.name from apps a
where a.name = $1 and ($2 is null or a.revision = $2)
    and not exists (select 1 from runs r where r.app = a.name and r.ended_at is null);

delete from journal where run_id in (select r.run_id from runs r join doomed d on r.app = d.name);

delete from logs where run_id in (select r.run_id from runs r join doomed d on r.app = d.name);

delete from runs where app in (select name from doomed);

delete from versions where app in (select name from doomed);

delete from apps where name in (select name from doomed) returning name
