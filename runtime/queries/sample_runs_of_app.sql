-- How up to $5 runs of app $1 fared, newest first: created from $2 on and before $3,
-- with the text $4 (a pattern) in failure or parameters; each unless it is null.
-- A file of its own so that it always has the index of one app.
select status, created_at, started_at, ended_at from run_details
where app = $1
    and ($2 is null or created_at >= $2) and ($3 is null or created_at < $3)
    and ($4 is null or lower(failure_message) like lower($4) escape '\'
        or lower(parameters) like lower($4) escape '\')
order by run_id desc limit $5
