//! Tests of storage. `contract` holds what every implementation of [`Store`](super::Store) must
//! do, written against the trait; each backend lists it with [`contract_tests`].
#![allow(clippy::unwrap_used)]

mod contract;
mod model;
mod sqlite;
mod upkeep;
mod world;
mod writer;

/// One test per body of `contract`, each in a new world made by `$world`.
macro_rules! contract_tests {
    ($world:path: $($name:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                let (world, _guard) = $world().await;
                super::contract::$name(world).await;
            }
        )*
    };
}
use contract_tests;
