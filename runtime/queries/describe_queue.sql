-- How many workers there are, their slots, the runs they hold, and the runs that are due and have waited longer than $1;
-- and whether one of them holds $1.
select (select count(*) from workers where expires_at > now_ms()) as workers,
    (select coalesce(sum(slots), 0) from workers where expires_at > now_ms()) as slots,
    (select count(*) from runs where worker_id is not null) as held,
    (select count(*) from runs r join runs asked on asked.run_id = $1
        where r.available_at <= now_ms() and r.available_at < asked.available_at) as ahead,
    exists (select 1 from runs where run_id = $1 and worker_id is not null) as is_held
