-- Up to $2 schedules by name, after the first $3, of app $1 and of an app in $4 (names between commas), unless
-- these are null.
select s.schedule_id, s.name, s.app, s.cron, s.timezone, s.skips_overlap, s.is_paused, s.parameters, s.next_tick_at,
    s.last_tick_at, s.created_at, s.updated_at, a.disabled as app_is_disabled
from schedules s join apps a on a.name = s.app
where ($1 is null or s.app = $1) and ($4 is null or $4 like '%,' || s.app || ',%')
order by s.name limit $2 offset $3
