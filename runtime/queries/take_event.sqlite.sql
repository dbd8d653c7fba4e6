-- Delivers the first event named $4 that was not delivered yet to the journal's entry $3 of run $1, held under fence
-- $2, if the entry is not final: it is finished with the event's payload. Returns how many things the run had been
-- told, the payload, null if there is no event, and now, which is the moment of the delivery. No row if the run was
-- taken away.
create temp table if not exists taken (
    event_id blob primary key, payload blob not null, num_attempts integer not null, version integer not null,
    now integer not null);

delete from taken;

insert into taken (event_id, payload, num_attempts, version, now)
select e.event_id, e.payload, r.num_attempts, r.version, now_ms()
from runs r
join journal j on j.run_id = r.run_id and j.seq = $3 and j.kind = 'event' and j.state in ('begun', 'again', 'waiting')
join events e on e.run_id = r.run_id and e.name = $4 and e.delivered_seq is null
where r.run_id = $1 and r.fence = $2 and r.worker_id is not null
order by e.sent_at, e.event_id limit 1;

update events set delivered_seq = $3 where event_id in (select event_id from taken);

update journal
set state = 'finished', payload = t.payload, due_at = null, recorded_at = t.now, attempt = t.num_attempts,
    version = t.version
from taken t where journal.run_id = $1 and journal.seq = $3;

select r.signals, t.payload, coalesce(t.now, now_ms()) as now
from runs r left join taken t on true
where r.run_id = $1 and r.fence = $2 and r.worker_id is not null
