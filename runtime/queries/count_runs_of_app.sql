-- How many runs of app $1 there are of a status in $2 (words between commas), created from $3 on and before $4; each unless
-- it is null.
select count(*) from run_details
where app = $1 and ($2 is null or $2 like '%,' || status || ',%') and ($3 is null or created_at >= $3)
    and ($4 is null or created_at < $4)
