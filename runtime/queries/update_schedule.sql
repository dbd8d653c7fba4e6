-- Changes schedule $1: name $2, expression $3, time zone $4, skips overlaps $5, paused $6, parameters $7, next tick at $8.
-- A taken name violates its constraint. No row if there is no such schedule.
update schedules
set name = $2, cron = $3, timezone = $4, skips_overlap = $5, is_paused = $6, parameters = $7, next_tick_at = $8,
    updated_at = now_ms()
where schedule_id = $1
returning schedule_id
