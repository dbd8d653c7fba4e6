-- Makes component $3 with digest $2, settings $4 and imports $8 the active version of app $1, and $5, $6, $7
-- (retries, delay, backoff), unless null, its policy. The same digest and settings as the active
-- version add nothing. Unless $9 is null, only if that is the active version, or 0 and there is none. Returns the
-- version; no row if there is no such app or another one is active.
insert into artifacts (digest, component, created_at)
select $2, $3, now_ms() from apps where name = $1 and ($9 is null or coalesce(active_version, 0) = $9)
on conflict do nothing;

insert into versions (app, version, digest, size_bytes, settings, imports, created_at)
select a.name, a.last_version + 1, $2, length($3), $4, $8, now_ms()
from apps a
where a.name = $1 and ($9 is null or coalesce(a.active_version, 0) = $9) and not exists (
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
where name = $1 and ($9 is null or coalesce(active_version, 0) = $9);

-- `changes()` is of the update above: 0 if another version was active.
select v.app, v.version, v.digest, v.size_bytes, v.settings, v.imports, v.created_at
from versions v join apps a on v.app = a.name and v.version = a.active_version
where a.name = $1 and changes() > 0
