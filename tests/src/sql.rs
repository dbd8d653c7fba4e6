//! A second way into a database: statements that no store has, to move time and to look behind the scenes.

use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

/// Runs statements on the database that `url` names.
///
/// # Panics
/// When the database refuses them.
pub async fn run(url: &str, sql: &str) {
    try_run(url, sql).await.unwrap_or_else(|error| panic!("{error}: {sql}"));
}

/// The same, but a refusal is the answer.
pub async fn try_run(url: &str, sql: &str) -> Result<(), String> {
    let sql = AssertSqlSafe(sql.to_owned());
    let done = match url.strip_prefix("sqlite:") {
        Some(path) => sqlx::raw_sql(sql).execute(&mut sqlite(path).await).await.map(drop),
        None => sqlx::raw_sql(sql).execute(&mut postgres(url).await).await.map(drop),
    };
    done.map_err(|error| error.to_string())
}

/// The lines that a query returns, one text column each.
pub async fn lines(url: &str, sql: &str) -> Vec<String> {
    let query = AssertSqlSafe(sql.to_owned());
    let rows: sqlx::Result<Vec<(String,)>> = match url.strip_prefix("sqlite:") {
        Some(path) => sqlx::query_as(query).fetch_all(&mut sqlite(path).await).await,
        None => sqlx::query_as(query).fetch_all(&mut postgres(url).await).await,
    };
    rows.unwrap_or_else(|error| panic!("{error}: {sql}")).into_iter().map(|(line,)| line).collect()
}

async fn sqlite(path: &str) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(Duration::from_secs(10));
    SqliteConnection::connect_with(&options.create_if_missing(true)).await.expect("the test's database can be opened")
}

async fn postgres(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("the test's Postgres can be reached")
}
