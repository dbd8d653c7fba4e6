-- Tells run number $2 of app $1, if it is active, the event $3 (id) named $4 with payload $5 and key $6: it is due at
-- once if it waits for that. Returns the event; no row if there is no such run, it has ended, or was told something
-- with that key before.
with target as materialized (
    select run_id from runs where app = $1 and number = $2 and ended_at is null
    for update
), moment as materialized (
    select now_ms() as now from target
), sent as (
    insert into events (event_id, run_id, name, payload, key, sent_at)
    select $3, run_id, $4, $5, $6, now from target, moment
    on conflict (run_id, key) do nothing
    returning event_id, name, payload, sent_at, delivered_seq
), told as (
    update runs r
    set signals = r.signals + 1,
        available_at = case
            when r.waiting_kind = 'event' and r.waiting_name = $4 then least(r.available_at, now) else r.available_at end
    from target, moment where r.run_id = target.run_id and exists (select 1 from sent)
)
select * from sent
