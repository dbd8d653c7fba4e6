-- Keeps secret $1, encrypted $2, shown as $3. A taken name violates the primary key.
insert into secrets (name, sealed, preview, created_at, updated_at) values ($1, $2, $3, now_ms(), now_ms())
returning name, preview, created_at, updated_at
