//! Tests of storage. `contract` holds what every implementation of [`Store`](super::Store) must
//! do, written against the trait; each backend lists it with [`contract_tests`].
#![allow(clippy::unwrap_used)]

mod blobs;
mod both;
mod contract;
mod faults;
mod leases;
mod migrate;
mod model;
mod postgres;
mod sqlite;
mod upkeep;
pub(crate) mod world;
mod writer;

/// One test per body of `contract`, each in a new world made by `$world`; none: this database is not
/// there.
macro_rules! contract_tests {
    ($world:path) => {
        super::contract_tests! { $world:
            turns_follow_one_another,
            a_stale_owner_is_fenced,
            everything_of_a_turn_is_kept,
            repeated_keys_are_dropped,
            a_fenced_turn_leaves_no_dedupe_key,
            a_lost_answer_doubles_and_loses_nothing,
            sends_move_forward_only,
            idempotency_keys_name_one_send,
            withdrawn_sends_free_their_keys,
            sends_are_listed_in_pages,
            kv_is_scanned_in_byte_order,
            accounts_are_created_and_changed,
            a_deleted_account_is_gone,
            workspaces_see_their_own,
            keys_and_providers_are_kept,
            endpoints_keep_their_place,
            groups_of_any_size_commit,
            a_stale_delivery_is_fenced,
            sends_are_handed_over,
            an_accounts_clock_is_kept,
            settings_and_usage_are_kept,
            workspaces_are_deleted,
        }
    };
    ($world:path: $($name:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                let Some((world, _guard)) = $world().await else { return };
                super::contract::$name(world).await;
            }
        )*
    };
}
use contract_tests;
