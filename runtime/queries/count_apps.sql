-- How many apps there are whose name is like $1, that are $2 (enabled, disabled, running, scheduled), and whose name is in
-- $3 (names between commas), where those are not null.
select count(*) from app_details a
where ($1 is null or lower(a.name) like lower($1) escape '\')
    and ($2 is null
        or ($2 = 'enabled' and not a.disabled)
        or ($2 = 'disabled' and a.disabled)
        or ($2 = 'running' and exists (select 1 from runs r where r.app = a.name and r.ended_at is null))
        or ($2 = 'scheduled' and a.cron is not null))
    and ($3 is null or $3 like '%,' || a.name || ',%')
