-- Up to $6 runs of app $1, newest first, after the first $7: of a status in $2 (words between commas), created from $3 on
-- and before $4, older than run $5, with the text $8 (a pattern) in their failure or parameters; each unless it is null.
-- A file of its own so that it always has the index of one app.
select * from run_details
where app = $1 and ($2 is null or $2 like '%,' || status || ',%') and ($3 is null or created_at >= $3)
    and ($4 is null or created_at < $4) and ($5 is null or run_id < $5)
    and ($8 is null or lower(failure_message) like lower($8) escape '\' or lower(parameters) like lower($8) escape '\')
order by run_id desc limit $6 offset $7
