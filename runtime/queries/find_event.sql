-- The event that run number $2 of app $1 was told with key $3: one row, or none.
select event_id, name, payload, sent_at, delivered_seq from events
where run_id = (select run_id from runs where app = $1 and number = $2) and key = $3
