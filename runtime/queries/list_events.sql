-- Up to $2 events that run $1 was told, the first first.
select event_id, name, payload, sent_at, delivered_seq from events where run_id = $1 order by sent_at, event_id limit $2
