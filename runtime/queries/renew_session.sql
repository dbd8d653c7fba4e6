-- Renews the session $1 for another $2 milliseconds. Returns a row unless it was lost.
update workers set expires_at = now_ms() + $2 where worker_id = $1 and expires_at > now_ms() returning worker_id
