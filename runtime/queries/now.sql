-- Now, in milliseconds.
select now_ms()
