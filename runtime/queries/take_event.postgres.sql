-- Delivers the first event named $4 that was not delivered yet to the journal's entry $3 of run $1, held under fence
-- $2, if the entry is not final: it is finished with the event's payload. Returns how many things the run had been
-- told, the payload, null if there is no event, and now, which is the moment of the delivery. No row if the run was
-- taken away. What the run had been told is counted in the snapshot in which the event is looked for, not on the locked
-- row: an event that this look missed is missing in the count too, and whoever compares the count with a later one
-- knows.
with held as materialized (
    select run_id, num_attempts, version from runs
    -- By a function, so that the run is found by its key and not among all that are held.
    where run_id = $1 and fence = $2 and num_nonnulls(worker_id) = 1
    for share
), moment as materialized (
    select now_ms() as now from held
), taken as (
    update events e set delivered_seq = $3
    from held
    where e.event_id = (
            select o.event_id from events o
            where o.run_id = $1 and o.name = $4 and o.delivered_seq is null
            order by o.sent_at, o.event_id limit 1)
        and e.delivered_seq is null
        and exists (
            select 1 from journal j
            where j.run_id = $1 and j.seq = $3 and j.kind = 'event' and j.state in ('begun', 'again', 'waiting'))
    returning e.payload
), recorded as (
    update journal j
    set state = 'finished', payload = taken.payload, due_at = null, recorded_at = now, attempt = held.num_attempts,
        version = held.version
    from taken, held, moment where j.run_id = $1 and j.seq = $3
)
select (select seen.signals from runs seen where seen.run_id = $1) as signals, (select payload from taken) as payload, now
from moment
