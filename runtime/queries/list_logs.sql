-- Up to $4 log lines of run $1 after line $2, of attempt $3, said from $5 on and in the step of entry $7, unless these are
-- null; without those that begin after $6 bytes of lines.
select line_num, attempt, channel, content, seq, reported_at from (
    select page.*, sum(octet_length(content)) over (order by line_num) as bytes from (
        select line_num, attempt, channel, content, seq, reported_at from logs
        where run_id = $1 and line_num > $2 and ($3 is null or attempt = $3) and ($5 is null or reported_at >= $5)
            and ($7 is null or seq = $7)
        order by line_num limit $4
    ) page
) counted
where bytes - octet_length(content) < $6
order by line_num
