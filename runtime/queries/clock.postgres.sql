-- Now, in milliseconds, of a database that may not have been set up yet.
select (extract(epoch from clock_timestamp()) * 1000)::bigint
