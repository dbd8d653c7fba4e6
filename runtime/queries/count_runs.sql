-- How many runs there are of a status in $1 (words between commas), created from $2 on and before $3, of an app in $4
-- (names between commas), with the text $5 (a pattern) in their app, failure or parameters; each unless it is null.
select count(*) from run_details
where ($1 is null or $1 like '%,' || status || ',%') and ($2 is null or created_at >= $2)
    and ($3 is null or created_at < $3) and ($4 is null or $4 like '%,' || app || ',%')
    and ($5 is null or lower(app) like lower($5) escape '\' or lower(failure_message) like lower($5) escape '\'
        or lower(parameters) like lower($5) escape '\')
