-- Changes app $1 if its revision is $2 or that is null. What is null stays: description $3, disabled $4, retries, delay
-- and backoff $5, $6, $7; the timeouts $9 (pending) and $11 (running) and the limits $13 stay unless $8, $10 and $12 say
-- that they change; the active version becomes $14. No row if there is no such app or it is of another revision.
update apps
set description = coalesce($3, description), disabled = coalesce($4, disabled), max_retries = coalesce($5, max_retries),
    retry_delay_ms = coalesce($6, retry_delay_ms), exponential = coalesce($7, exponential),
    pending_timeout_s = case when $8 then $9 else pending_timeout_s end,
    running_timeout_s = case when $10 then $11 else running_timeout_s end,
    limits = case when $12 then $13 else limits end, active_version = coalesce($14, active_version),
    revision = revision + 1, updated_at = now_ms()
where name = $1 and ($2 is null or revision = $2)
returning name
