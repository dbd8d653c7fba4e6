-- Makes the runs due that wait for a child which has ended or is gone. Returns one row per run.
update runs set available_at = now_ms()
where waiting_run_id is not null and available_at > now_ms()
    and (select c.ended_at is null from runs c where c.run_id = runs.waiting_run_id) is not true
returning run_id
