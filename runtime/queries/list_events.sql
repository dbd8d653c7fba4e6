-- Up to $3 events that run $1 was told, the first first, after the event $2 unless null; without those that begin after $4
-- bytes of payloads.
select event_id, name, payload, sent_at, delivered_seq from (
    select page.*, sum(octet_length(payload)) over (order by sent_at, event_id) as bytes from (
        select event_id, name, payload, sent_at, delivered_seq from events
        where run_id = $1 and ($2 is null
            or (sent_at, event_id) > (select a.sent_at, a.event_id from events a where a.run_id = $1 and a.event_id = $2))
        order by sent_at, event_id limit $3
    ) page
) counted
where bytes - octet_length(payload) < $4
order by sent_at, event_id
