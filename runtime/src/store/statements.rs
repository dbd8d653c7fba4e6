//! The texts of `queries/`, by file name. What differs between the databases has a file for
//! each; what they share is one file.

use std::sync::LazyLock;

macro_rules! text {
    ($name:ident, $ending:literal) => {
        include_str!(concat!("../../queries/", stringify!($name), $ending))
    };
}

macro_rules! statements {
    (
        one text { $($shared:ident)* }
        a text for each { $($own:ident)* }
        only postgres { $($postgres:ident)* }
        only sqlite { $($sqlite:ident)* }
    ) => {
        /// The statements that both databases have.
        pub(super) struct Statements {
            $(pub $shared: &'static str,)*
            $(pub $own: &'static str,)*
        }

        /// The statements that only Postgres has.
        pub(super) struct PostgresOnly {
            $(pub $postgres: &'static str,)*
        }

        /// The statements that only SQLite has.
        pub(super) struct SqliteOnly {
            $(pub $sqlite: &'static str,)*
        }

        pub(super) static POSTGRES: Statements = Statements {
            $($shared: text!($shared, ".sql"),)*
            $($own: text!($own, ".postgres.sql"),)*
        };

        pub(super) static POSTGRES_ONLY: PostgresOnly = PostgresOnly {
            $($postgres: text!($postgres, ".postgres.sql"),)*
        };

        pub(super) static SQLITE: LazyLock<Statements> = LazyLock::new(|| Statements {
            $($shared: for_sqlite(text!($shared, ".sql")),)*
            $($own: for_sqlite(text!($own, ".sqlite.sql")),)*
        });

        pub(super) static SQLITE_ONLY: LazyLock<SqliteOnly> = LazyLock::new(|| SqliteOnly {
            $($sqlite: for_sqlite(text!($sqlite, ".sqlite.sql")),)*
        });

        /// The files that are loaded, for the test.
        #[cfg(test)]
        const FILES: &[&str] = &[
            $(concat!(stringify!($shared), ".sql"),)*
            $(concat!(stringify!($own), ".postgres.sql"), concat!(stringify!($own), ".sqlite.sql"),)*
            $(concat!(stringify!($postgres), ".postgres.sql"),)*
            $(concat!(stringify!($sqlite), ".sqlite.sql"),)*
        ];
    };
}

statements! {
    one text {
        create_app find_app list_apps count_apps update_app list_versions load_artifact
        find_start find_run list_runs list_runs_of_app sample_runs sample_runs_of_app count_runs count_runs_of_app list_attempts load_run_io
        describe_queue wake_parent find_event list_events find_child
        renew_session list_workers count_due_runs list_held give_back check_lease next_due_in
        load_journal list_journal list_logs list_calls
        create_schedule find_schedule list_schedules count_schedules update_schedule delete_schedule
        next_tick_in list_due_schedules
        create_token find_token list_tokens revoke_token
        create_secret update_secret list_secrets count_secrets load_secret delete_secret keep_key_pair load_key_pair
        ping now
    }
    a text for each {
        add_version delete_app start_run cancel_run cancel_orphans expire_pending_runs fire_schedule
        send_event retry_run fork_run wake_parents
        open_session close_session claim_runs begin_running park_run hand_back settle_run take_away_runs
        append_journal take_event append_logs clock append_calls
    }
    only postgres { lock_session end_lost_sessions send_hint }
    only sqlite { list_sessions end_session }
}

/// On Postgres `now_ms()` and `far_ms()` are functions of the schema. SQLite's clock is a fraction of
/// seconds, so it is rounded: 0.123 is a little less than 123 thousandths.
fn for_sqlite(text: &'static str) -> &'static str {
    let text = text.replace("now_ms()", "cast(round(unixepoch('subsec') * 1000) as integer)");
    // Once per process and statement, so that leaking it costs nothing.
    text.replace("far_ms()", &FAR_MS.to_string()).leak()
}

/// The year 9999, when what waits for ever is due: a moment that every program can read.
pub(super) const FAR_MS: i64 = 253_370_764_800_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_query_file_is_loaded_and_says_what_it_promises() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/queries");
        for file in std::fs::read_dir(folder).expect("queries/ can be read") {
            let file = file.expect("queries/ can be read");
            let name = file.file_name().into_string().expect("names of queries are text");
            assert!(
                FILES.contains(&name.as_str()),
                "queries/{name} is not loaded: add it to `statements!`, or delete it"
            );
            let text = std::fs::read_to_string(file.path()).expect("a query can be read");
            assert!(text.starts_with("-- "), "queries/{name} begins with a comment that says what it promises");
        }
    }
}
