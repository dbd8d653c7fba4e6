-- Milliseconds until the next tick of an active schedule, negative if it is overdue; null if there is none.
select min(next_tick_at) - now_ms() from schedules where not is_paused
