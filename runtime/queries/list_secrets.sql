-- Up to $1 secrets by name, after the first $2, without what they hold.
select name, preview, created_at, updated_at from secrets order by name limit $1 offset $2
