-- Makes component $3 with digest $2 and settings $4 the active version of app $1, and $5, $6, $7
-- (retries, delay, backoff), unless null, its policy. The same digest and settings as the active
-- version add nothing. Returns the version; no row if there is no such app.
insert into artifacts (digest, component, created_at)
select $2, $3, now_ms() from apps where name = $1
on conflict do nothing;

insert into versions (app, version, digest, size_bytes, settings, created_at)
select a.name, a.last_version + 1, $2, length($3), $4, now_ms()
from apps a
where a.name = $1 and not exists (
    select 1 from versions v
    where v.app = a.name and v.version = a.active_version and v.digest = $2 and v.settings = $4);

-- `last_version` rises to the version just added, if one was.
update apps
set last_version = (select max(version) from versions where app = $1),
    active_version = (select max(version) from versions where app = $1),
    max_retries = coalesce($5, max_retries),
    retry_delay_ms = coalesce($6, retry_delay_ms),
    exponential = coalesce($7, exponential),
    revision = revision + 1,
    updated_at = now_ms()
where name = $1;

select v.app, v.version, v.digest, v.size_bytes, v.settings, v.created_at
from versions v join apps a on v.app = a.name and v.version = a.active_version
where a.name = $1
