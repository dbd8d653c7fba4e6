-- The versions of app $1, newest first.
select app, version, digest, size_bytes, settings, imports, created_at from versions where app = $1 order by version desc
