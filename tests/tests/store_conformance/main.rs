//! What every store promises: each case runs on SQLite and on Postgres. A case is an async
//! function over a [`Bed`](bed::Bed), a store with an empty database of its own.
//!
//! Time passes by moving rows, not by sleeping.

mod apps;
mod batches;
mod bed;
mod claims;
mod fences;
mod opening;
mod runs;
mod schema;
mod sessions;
mod settling;
mod tokens;

/// Makes a test of each case for each store.
macro_rules! conformance {
    ($($module:ident { $($case:ident)* })*) => {
        mod sqlite { $(mod $module { $(
            #[test]
            fn $case() { crate::bed::on_sqlite(crate::$module::$case) }
        )* })* }
        mod postgres { $(mod $module { $(
            #[test]
            fn $case() { crate::bed::on_postgres(crate::$module::$case) }
        )* })* }
    };
}

conformance! {
    apps {
        a_name_is_taken_once
        an_app_is_found_by_its_name_and_listed_by_it
        an_upload_becomes_the_active_version
        the_same_upload_again_changes_nothing_but_the_policy
        other_settings_make_another_version_of_the_same_artifact
        uploads_side_by_side_get_numbers_without_gaps
        the_same_upload_side_by_side_is_one_version
    }
    runs {
        a_run_starts_pending_under_the_apps_policy
        a_run_may_bring_its_own_version_and_policy
        a_start_says_what_is_missing
        starts_side_by_side_are_numbered_without_gaps
        bytes_come_back_as_they_were_given
        runs_are_listed_newest_first_in_pages
        the_next_due_run_is_known
        a_start_wakes_who_waits
    }
    claims {
        a_claim_returns_all_that_an_execution_needs
        those_that_waited_longest_come_first
        side_by_side_every_run_is_claimed_once
        what_is_not_due_is_not_claimed
        a_retry_is_claimed_as_a_new_attempt
        the_same_attempt_going_on_is_a_recovery
        held_runs_are_listed_with_their_fences
        a_run_that_goes_from_hand_to_hand_has_one_past
    }
    fences {
        nothing_is_written_after_the_run_was_given_back
        nothing_is_written_after_the_run_was_cancelled
        nothing_is_written_after_the_run_was_taken_away
        nothing_is_written_after_the_run_was_settled
        the_old_lease_stays_void_when_the_same_worker_claims_again
        a_lease_of_a_run_that_waits_is_void
        of_a_cancel_and_a_settlement_one_wins
        a_cancel_beside_a_claim_leaves_no_open_attempt
        a_write_beside_a_take_away_is_before_it_or_refused
    }
    settling {
        success_ends_the_run
        a_failure_is_kept_with_its_attempt
        a_retry_waits_exactly_as_long_as_asked
        a_failed_step_is_forgotten_if_asked
        an_active_run_is_cancelled_and_a_final_one_is_not
        a_dropped_call_leaves_the_store_usable
    }
    sessions {
        an_expired_session_claims_nothing_and_is_not_renewed
        runs_of_an_expired_session_are_taken_away
        a_dead_session_is_noticed_at_once
        a_living_session_is_not_reaped
        closing_gives_back_what_is_held
        a_run_without_a_session_is_found_by_the_next_reaper
        reapers_side_by_side_take_each_run_once
    }
    batches {
        entries_come_back_in_order_as_they_were_written
        one_batch_serves_many_runs_and_says_which_were_written
        a_sequence_number_is_used_once
        lines_are_filtered_by_attempt_and_by_number
        a_claim_knows_the_last_line
        empty_batches_write_nothing
        text_with_nul_fails_no_batch
    }
    tokens {
        a_token_is_found_until_it_is_revoked
    }
    opening {
        opening_twice_at_once_works
        a_database_is_opened_again_with_what_it_held
        the_database_answers
    }
    schema {
        the_schema_is_the_committed_one
    }
}
