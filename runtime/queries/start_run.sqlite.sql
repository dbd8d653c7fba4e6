-- Starts run $1 of app $2, of version $3 or, if that is null, the active one, with input $4 and
-- parameters $5, under the policy $6, $7, $8 (retries, delay, backoff) or the app's where null.
-- Returns the run; no row if the app or the version does not exist.
insert into runs (run_id, app, number, version, status, num_attempts, max_retries, retry_delay_ms, exponential,
    available_at, created_at)
select $1, a.name, a.last_run_number + 1, v.version, 'pending', 1, coalesce($6, a.max_retries),
    coalesce($7, a.retry_delay_ms), coalesce($8, a.exponential), now_ms(), now_ms()
from apps a join versions v on v.app = a.name and v.version = coalesce($3, a.active_version)
where a.name = $2;

update apps set last_run_number = last_run_number + 1 where name = (select app from runs where run_id = $1);

insert into run_io (run_id, input, parameters) select run_id, $4, $5 from runs where run_id = $1;

select * from run_details where run_id = $1
