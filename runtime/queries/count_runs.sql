-- How many runs there are of a status in $1 (words between commas), created from $2 on and before $3; each unless it is
-- null.
select count(*) from run_details
where ($1 is null or $1 like '%,' || status || ',%') and ($2 is null or created_at >= $2)
    and ($3 is null or created_at < $3)
