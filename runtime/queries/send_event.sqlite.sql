-- Tells run number $2 of app $1, if it is active, the event $3 (id) named $4 with payload $5 and key $6: it is due at
-- once if it waits for that. Returns the event; no row if there is no such run, it has ended, or was told something
-- with that key before.
insert into events (event_id, run_id, name, payload, key, sent_at)
select $3, run_id, $4, $5, $6, now_ms() from runs where app = $1 and number = $2 and ended_at is null
on conflict (run_id, key) do nothing;

update runs
set signals = signals + 1,
    available_at = iif(waiting_kind = 'event' and waiting_name = $4, min(available_at, now_ms()), available_at)
where run_id = (select run_id from events where event_id = $3);

select event_id, name, payload, sent_at, delivered_seq from events where event_id = $3
