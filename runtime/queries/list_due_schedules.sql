-- The active schedules whose tick is due, by its time.
select s.schedule_id, s.name, s.app, s.cron, s.timezone, s.skips_overlap, s.is_paused, s.parameters, s.next_tick_at,
    s.last_tick_at, s.created_at, s.updated_at, a.disabled as app_is_disabled
from schedules s join apps a on a.name = s.app
where not s.is_paused and s.next_tick_at <= now_ms()
order by s.next_tick_at
