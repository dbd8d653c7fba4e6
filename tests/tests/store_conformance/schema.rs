//! The schema, as a committed file.

use crate::bed::*;

/// So that a migration shows as a difference of the whole schema.
pub async fn the_schema_is_the_committed_one(bed: &Bed) {
    let (name, query) = match bed.is_postgres() {
        true => ("schema.postgres.txt", POSTGRES),
        false => ("schema.sqlite.txt", SQLITE),
    };
    let path = format!("{}/../runtime/migrations/{name}", env!("CARGO_MANIFEST_DIR"));
    let now = bed.lines(query).await.join("\n") + "\n";
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &now).expect("the schema can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        now == committed,
        "the migrations make another schema than runtime/migrations/{name}: run this test with UPDATE=1 and look at \
         the difference\n{now}"
    );
}

const SQLITE: &str = "select sql || ';' from sqlite_schema where sql is not null and name not like '\\_%' escape '\\' \
    order by name";

/// What a migration can change, without what differs between versions of Postgres.
const POSTGRES: &str = r"
with line (relation, kind, position, text) as (
    select c.relname, 0, 0, case c.relkind when 'v' then 'view ' else 'table ' end || c.relname
        || coalesce(' with (' || array_to_string(c.reloptions, ', ') || ')', '')
    from pg_class c where c.relkind in ('r', 'v') and c.relnamespace = 'public'::regnamespace
    union all
    select c.relname, 1, a.attnum, '    ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
        || case when a.attnotnull then ' not null' else '' end
        || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
    from pg_attribute a
    join pg_class c on c.oid = a.attrelid
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where c.relkind in ('r', 'v') and c.relnamespace = 'public'::regnamespace and a.attnum > 0 and not a.attisdropped
    union all
    select c.relname, 2, row_number() over (order by k.conname), '    constraint ' || k.conname || ' ' || pg_get_constraintdef(k.oid)
    from pg_constraint k join pg_class c on c.oid = k.conrelid
    where c.relnamespace = 'public'::regnamespace and k.contype <> 'n'
    union all
    select tablename, 3, row_number() over (order by indexname), '    ' || indexdef from pg_indexes where schemaname = 'public'
    union all
    select '', 0, row_number() over (order by proname), 'function ' || proname || ' returns ' || pg_get_function_result(oid) || ' as' || prosrc
    from pg_proc where pronamespace = 'public'::regnamespace
)
select text from line where relation not like '\_%' order by relation, kind, position";
