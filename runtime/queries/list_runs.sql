-- Up to $5 runs, newest first, after the first $6: of a status in $1 (words between commas), created from $2 on and before
-- $3, older than run $4, of an app in $7 (names between commas), with the text $8 (a pattern) in their app, failure or
-- parameters; each unless it is null.
select * from run_details
where ($1 is null or $1 like '%,' || status || ',%') and ($2 is null or created_at >= $2)
    and ($3 is null or created_at < $3) and ($4 is null or run_id < $4)
    and ($7 is null or $7 like '%,' || app || ',%')
    and ($8 is null or lower(app) like lower($8) escape '\' or lower(failure_message) like lower($8) escape '\'
        or lower(parameters) like lower($8) escape '\')
order by run_id desc limit $5 offset $6
