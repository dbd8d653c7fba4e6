-- The schedules of id $1 and of name $2, in this order reversed: up to two rows.
select s.schedule_id, s.name, s.app, s.cron, s.timezone, s.skips_overlap, s.is_paused, s.parameters, s.next_tick_at,
    s.last_tick_at, s.created_at, s.updated_at, a.disabled as app_is_disabled
from schedules s join apps a on a.name = s.app
where s.schedule_id = $1 or s.name = $2
order by case when s.schedule_id = $1 then 1 else 0 end
