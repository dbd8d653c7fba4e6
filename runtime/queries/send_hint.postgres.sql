-- Tells every listening process that something may have become due. A statement of its own: in
-- the commit it would halve the throughput of everything else.
select pg_notify('relume', '')
