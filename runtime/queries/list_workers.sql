-- The workers whose session is valid, the oldest first, and how many runs each holds.
select w.worker_id, w.name, w.slots, w.started_at, w.expires_at,
    (select count(*) from runs r where r.worker_id = w.worker_id) as held
from workers w where w.expires_at > now_ms()
order by w.started_at, w.worker_id
