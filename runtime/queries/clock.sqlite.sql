-- Now, in milliseconds, of a database that may not have been set up yet.
select now_ms()
