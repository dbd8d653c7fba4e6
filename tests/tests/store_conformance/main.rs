//! What every store promises: each case runs on SQLite and on Postgres. A case is an async
//! function over a [`Bed`](bed::Bed), a store with an empty database of its own.
//!
//! Time passes by moving rows, not by sleeping.

mod apps;
mod batches;
mod bed;
mod calls;
mod changes;
mod children;
mod claims;
mod disabled;
mod edges;
mod events;
mod fences;
mod forking;
mod journal;
mod keys;
mod limits;
mod listing;
mod losses;
mod opening;
mod parking;
mod retrying;
mod runs;
mod schedules;
mod schema;
mod secrets;
mod sequences;
mod sessions;
mod settling;
mod starting;
mod timeouts;
mod tokens;
mod upgrade;

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
    limits {
        a_run_has_its_own_limits_and_those_the_app_had_when_it_was_started
        a_retry_and_a_fork_keep_the_limits_of_the_run
        a_child_has_the_limits_of_its_app_alone
        a_version_knows_what_its_component_imports
        an_upload_over_one_version_is_refused_over_another
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
        nothing_is_written_after_the_run_was_parked
        nothing_is_written_after_the_run_was_handed_back
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
    calls {
        calls_come_back_in_pages_as_they_were_written
        a_claim_knows_the_last_call_and_none_is_listed_twice
        a_call_with_nul_fails_no_batch
        calls_go_with_their_app
    }
    journal {
        entries_of_every_kind_and_state_come_back_as_they_were_written
        an_entry_is_written_anew_until_it_is_final
        a_final_entry_is_never_written_again
        an_entry_is_due_when_it_says_or_so_long_after_it_was_written
        the_entries_of_a_batch_have_one_moment
        what_was_used_up_is_kept_however_much_it_is
    }
    parking {
        a_parked_run_has_no_worker_and_says_what_it_waits_for
        a_run_wakes_when_it_is_due_and_no_earlier
        waking_is_neither_an_attempt_nor_a_recovery
        a_recovery_is_counted_between_waits
        a_wait_outlives_the_worker_that_began_it
        no_wait_is_longer_than_the_deadline
        what_waits_for_ever_does_not_come_due
        a_run_that_was_told_something_since_it_looked_is_due_at_once
        what_is_handed_back_counts_for_nothing_and_others_may_take_it_at_once
        a_retry_of_a_disabled_app_ends_even_if_this_worker_cannot_run_it
        use_of_the_network_outside_steps_is_remembered
    }
    losses {
        losses_in_a_row_are_counted_until_the_journal_grows
        what_is_given_back_is_not_lost
        a_wait_and_the_end_of_an_attempt_end_the_row
        a_run_lost_while_its_code_was_fetched_is_counted_too
    }
    events {
        events_sent_early_are_kept_in_order_and_delivered_once_each
        an_event_is_delivered_once_whatever_dies
        an_event_wakes_the_run_that_waits_for_it
        an_event_wakes_a_worker
        a_key_sends_one_event
        who_cannot_be_told_anything_is_named
        no_event_beside_a_park_is_lost
        a_look_that_missed_an_event_does_not_count_it
        events_go_with_their_app
    }
    children {
        a_child_is_started_once_for_each_entry
        the_end_of_a_child_wakes_the_parent_that_waits_for_it
        a_parent_waits_on_while_its_child_is_retried
        no_end_of_a_child_beside_a_park_is_lost
        a_parent_is_woken_however_its_child_ended
        cancelling_a_run_cancels_its_children_and_theirs
        a_child_that_is_started_beside_a_cancel_is_not_left_over
        a_child_that_cannot_be_started_says_why
        who_is_no_parent_learns_nothing_of_a_run
        a_child_has_to_end_no_later_than_its_parent
        a_child_outlives_the_row_of_its_parent
    }
    retrying {
        a_failed_run_is_retried_as_the_next_attempt
        a_failed_run_is_retried_on_another_version
        the_step_that_failed_last_is_executed_again_with_all_its_tries
        what_cannot_be_retried_says_why_and_stays_as_it_is
        of_many_who_ask_one_retries
        of_a_retry_and_a_deletion_one_wins
        a_retry_that_is_cancelled_leaves_the_attempts_there_were
        a_child_of_a_cancelled_run_is_not_retried
        a_child_that_is_retried_has_its_parent_still
    }
    forking {
        a_fork_is_a_new_run_that_has_done_what_the_other_had
        a_fork_may_run_on_another_version_and_of_a_run_that_goes_on
        what_cannot_be_forked_says_why_and_nothing_is_started
        a_fork_may_wait_for_the_children_of_the_run_it_comes_from
        a_fork_outlives_the_row_it_comes_from
    }
    tokens {
        a_token_is_found_until_it_is_revoked
        a_token_expires
        a_token_of_some_apps_is_found_with_them
    }
    changes {
        an_app_is_changed_only_by_who_saw_its_last_revision
        a_run_keeps_the_policy_it_was_started_with
        an_app_is_deleted_with_all_that_belongs_to_it
        of_a_start_and_a_deletion_one_wins
        of_a_tick_and_a_deletion_one_wins
        of_a_new_schedule_and_a_deletion_one_wins
        a_start_beside_uploads_always_finds_a_version
    }
    disabled {
        a_disabled_app_starts_no_run_until_it_is_enabled
        a_retry_is_skipped_when_the_attempt_fails
        a_retry_is_skipped_when_its_wait_ends
        a_retry_after_our_fault_is_skipped_as_errored
        a_skipped_retry_keeps_no_other_run_waiting
        enabling_again_revives_nothing
        what_was_started_before_runs_to_its_end
        a_failed_step_stays_recorded_when_its_retry_is_skipped
        a_reason_is_kept_with_the_run
        a_start_beside_a_switch_says_nothing_else_than_disabled
    }
    edges {
        a_status_changes_along_the_edges_and_in_no_other_way
    }
    keys {
        the_same_start_again_is_the_run_it_started
        another_request_with_the_key_is_refused
        of_many_starts_with_one_key_one_starts_a_run
        the_key_of_a_refused_start_is_free
        a_key_is_of_one_app_and_goes_with_it
    }
    listing {
        apps_are_found_by_a_part_of_their_name_as_it_is_written
        apps_are_listed_by_what_they_do
        apps_are_listed_in_the_order_asked_for_in_pages
        runs_are_counted_as_they_are_listed
        runs_are_found_by_a_text_in_their_app_failure_or_parameters
        workers_and_what_waits_for_them_are_told
        the_active_version_is_the_one_of_runs_that_name_none
        the_queue_ahead_of_a_run_is_described
        lines_are_filtered_by_when_they_were_said
    }
    schedules {
        a_tick_starts_a_run_with_the_schedules_parameters
        of_three_servers_one_starts_the_run_of_a_tick
        ticks_and_starts_side_by_side_are_numbered_without_gaps
        a_tick_is_skipped_while_the_run_of_an_earlier_one_is_active
        overlaps_are_allowed_unless_they_are_skipped
        a_paused_schedule_does_not_tick
        a_tick_of_a_disabled_app_starts_nothing_and_is_over
        a_tick_of_an_app_without_a_version_starts_nothing
        a_schedule_is_found_changed_and_deleted
        an_id_is_meant_before_a_name
    }
    secrets {
        a_secret_is_kept_replaced_and_deleted
        secrets_are_listed_by_name_in_pages
        servers_that_begin_together_have_one_key_pair
    }
    starting {
        a_run_is_starting_while_its_code_is_fetched
        code_that_is_ready_is_not_fetched
        another_worker_may_have_to_fetch_the_code_again
        code_that_cannot_be_made_ready_fails_the_attempt
        a_run_is_cancelled_in_every_active_status
    }
    timeouts {
        a_run_that_no_worker_took_in_time_is_cancelled
        a_run_that_a_worker_took_waits_without_end
        a_scheduled_run_waits_from_its_time_on
        of_a_claim_and_the_end_of_patience_one_wins
        timeouts_are_the_apps_unless_the_run_has_its_own
        a_run_waits_for_its_start_time
        a_start_time_that_is_past_is_now
    }
    upgrade {
        a_database_of_the_first_schema_is_brought_up_to_date
        a_database_of_the_second_schema_is_brought_up_to_date
    }
    sequences {
        whatever_happens_the_rules_of_runs_hold
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
