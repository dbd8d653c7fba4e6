-- How up to $4 runs fared, newest first: created from $1 on and before $2, of an app in $5 (names between commas),
-- with the text $3 (a pattern) in their app, failure or parameters; each unless it is null.
select status, created_at, started_at, ended_at from run_details
where ($1 is null or created_at >= $1) and ($2 is null or created_at < $2)
    and ($3 is null or lower(app) like lower($3) escape '\' or lower(failure_message) like lower($3) escape '\'
        or lower(parameters) like lower($3) escape '\')
    and ($5 is null or $5 like '%,' || app || ',%')
order by run_id desc limit $4
