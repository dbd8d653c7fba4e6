-- Ends the session $1, whatever it holds.
delete from workers where worker_id = $1 returning worker_id
