//! A stage to run a provider on, on the machine where it is written: the host's rules without the
//! host. A step is a turn; its effects come back to be looked at, and after an `Err` or a panic
//! nothing of it has happened. The clock stands until the test moves it.
//!
//! ```
//! # use anyport_sdk::{Provider, Result, Start, lifecycle::Descriptor, connections, reactor};
//! # struct Parrot;
//! # impl Provider for Parrot {
//! #     type Config = serde_json::Value;
//! #     type Snapshot = ();
//! #     fn describe() -> Descriptor { Descriptor::new("Parrot") }
//! #     fn start(_: &mut Start<Self>) -> Result<Self> {
//! #         let framing = connections::Framing::Line;
//! #         connections::ensure("main", &connections::Spec::tcp("localhost", 7000, framing));
//! #         Ok(Self)
//! #     }
//! #     fn snapshot(&self) -> Result { Ok(()) }
//! #     fn received(&mut self, it: reactor::Received) -> Result {
//! #         connections::send("main", &it.frame);
//! #         Ok(())
//! #     }
//! # }
//! use anyport_sdk::testkit::Stage;
//!
//! let mut stage = Stage::<Parrot>::new(serde_json::json!({}));
//! stage.start().ok();
//! stage.open("main").ok();
//! let turn = stage.frame("main", "hello").ok();
//! assert_eq!(turn.lines("main"), ["hello"]);
//! ```
//!
//! What a provider does on the stage it does in the host; what the host does beyond (limits of
//! memory and CPU, the channel itself) is for `anyport providers test` and for the real thing.

mod host;
mod rules;
mod stage;
mod turn;
mod world;

pub use stage::Stage;
pub use turn::{Reply, SignInStep, Turn};
pub use world::{Connection, World};
