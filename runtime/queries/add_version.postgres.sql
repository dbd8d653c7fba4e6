-- Makes component $3 with digest $2, settings $4 and imports $8 the active version of app $1, and $5, $6, $7
-- (retries, delay, backoff), unless null, its policy. The same digest and settings as the active
-- version add nothing. Unless $9 is null, only if that is the active version, or 0 and there is none. Returns the
-- version; no row if there is no such app or another one is active, or if another upload
-- to it was committed while this one waited for the app's row: what this statement sees is then
-- out of date, ask again.
with target as materialized (
    select a.name, a.last_version, v.version as same_version
    from apps a
    left join versions v on v.app = a.name and v.version = a.active_version and v.digest = $2 and v.settings = $4
    -- After a wait, `a` is the newest row and the inner select still the one first seen.
    where a.name = $1 and a.last_version = (select seen.last_version from apps seen where seen.name = a.name)
        and ($9::integer is null or coalesce(a.active_version, 0) = $9)
    for update of a
), stored as (
    insert into artifacts (digest, component, created_at)
    select $2, $3, now_ms() from target where same_version is null
    on conflict do nothing
), changed as (
    update apps a
    set last_version = case when t.same_version is null then t.last_version + 1 else t.last_version end,
        active_version = coalesce(t.same_version, t.last_version + 1),
        max_retries = coalesce($5, a.max_retries),
        retry_delay_ms = coalesce($6, a.retry_delay_ms),
        exponential = coalesce($7, a.exponential),
        revision = a.revision + 1,
        updated_at = now_ms()
    from target t where a.name = t.name
), added as (
    insert into versions (app, version, digest, size_bytes, settings, imports, created_at)
    select name, last_version + 1, $2, length($3), $4, $8, now_ms() from target where same_version is null
    returning app, version, digest, size_bytes, settings, imports, created_at
)
select app, version, digest, size_bytes, settings, imports, created_at from added
union all
select v.app, v.version, v.digest, v.size_bytes, v.settings, v.imports, v.created_at
from versions v join target t on v.app = t.name and v.version = t.same_version
