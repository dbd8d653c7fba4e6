-- Replaces secret $1 with $2, encrypted, shown as $3. No row if there is none.
update secrets set sealed = $2, preview = $3, updated_at = now_ms() where name = $1
returning name, preview, created_at, updated_at
