-- Keeps schedule $1 of app $2, named $3: expression $4, time zone $5, skips overlaps $6, paused $7, parameters $8, first
-- tick at $9. A taken name violates its constraint. No row if there is no such app.
insert into schedules (schedule_id, app, name, cron, timezone, skips_overlap, is_paused, parameters, next_tick_at,
    created_at, updated_at)
select $1, a.name, $3, $4, $5, $6, $7, $8, $9, now_ms(), now_ms() from apps a where a.name = $2
returning schedule_id
