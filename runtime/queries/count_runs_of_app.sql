-- How many runs of app $1 there are of a status in $2 (words between commas), created from $3 on and before $4, with the text
-- $5 (a pattern) in their failure or parameters; each unless it is null.
select count(*) from run_details
where app = $1 and ($2 is null or $2 like '%,' || status || ',%') and ($3 is null or created_at >= $3)
    and ($4 is null or created_at < $4)
    and ($5 is null or lower(failure_message) like lower($5) escape '\' or lower(parameters) like lower($5) escape '\')
