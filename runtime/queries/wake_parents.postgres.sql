-- Makes the runs due that wait for a child which has ended or is gone. Returns one row per run. One that is being
-- written is left to the next time.
-- The other run is asked for in a subquery of one value, which is looked up by its key for each row: as a join it is
-- found by a walk through all runs there ever were.
update runs set available_at = now_ms()
where run_id = any (array(
    select r.run_id from runs r
    where r.waiting_run_id is not null and r.available_at > (select now_ms())
        and (select c.ended_at is null from runs c where c.run_id = r.waiting_run_id) is not true
    for update of r skip locked))
returning run_id
