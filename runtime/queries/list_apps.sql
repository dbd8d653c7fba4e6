-- Up to $4 apps after the first $5, whose name is like $1, that are $2 (enabled, disabled, running, scheduled), and whose
-- name is in $6 (names between commas), where those are not null; in the order $3: name, created_at, updated_at or most_recent_run.
select * from app_details a
where ($1 is null or lower(a.name) like lower($1) escape '\')
    and ($2 is null
        or ($2 = 'enabled' and not a.disabled)
        or ($2 = 'disabled' and a.disabled)
        or ($2 = 'running' and exists (select 1 from runs r where r.app = a.name and r.ended_at is null))
        or ($2 = 'scheduled' and a.cron is not null))
    and ($6 is null or $6 like '%,' || a.name || ',%')
order by
    case $3
        when 'created_at' then -a.created_at
        when 'updated_at' then -a.updated_at
        when 'most_recent_run' then
            -coalesce((select l.created_at from runs l where l.app = a.name order by l.run_id desc limit 1), 0)
    end,
    a.name
limit $4 offset $5
