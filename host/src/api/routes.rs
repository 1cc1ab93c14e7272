//! Routes on their way into the router. Every route of the API is made here and nowhere else, so
//! that a test can hold them against the table of `access`.

use super::Api;
use super::access;
use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, on};

#[derive(Default)]
pub struct Routes {
    router: Router<Api>,
    /// (method, path)
    known: Vec<(&'static str, String)>,
}

macro_rules! methods {
    ($($name:ident $filter:ident;)*) => {$(
        pub fn $name<H, T>(self, path: &str, handler: H) -> Self
        where
            H: Handler<T, Api>,
            T: 'static,
        {
            self.add(stringify!($filter), path, MethodFilter::$filter, handler)
        }
    )*};
}

impl Routes {
    pub fn new() -> Self {
        Self::default()
    }

    methods! {
        get GET;
        post POST;
        put PUT;
        patch PATCH;
        delete DELETE;
    }

    fn add<H, T>(
        mut self,
        method: &'static str,
        path: &str,
        filter: MethodFilter,
        handler: H,
    ) -> Self
    where
        H: Handler<T, Api>,
        T: 'static,
    {
        self.known.push((method, path.to_owned()));
        self.router = self.router.route(path, on(filter, handler));
        self
    }

    pub fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.known.extend(other.known);
        self
    }

    /// What is wrong between these and the table; empty when they are the same.
    pub fn differences(&self) -> Vec<String> {
        let unlisted = self
            .known
            .iter()
            .filter(|(method, path)| access::of(method, path).is_none())
            .map(|(method, path)| format!("{method} {path}: the table does not say who may"));
        let unserved = access::OPERATIONS
            .iter()
            .filter(|operation| {
                let is = |(method, path): &(&str, String)| {
                    *method == operation.method && path == operation.path
                };
                !self.known.iter().any(is)
            })
            .map(|operation| {
                format!(
                    "{} {}: stands in the table, and there is no such route",
                    operation.method, operation.path
                )
            });
        unlisted.chain(unserved).collect()
    }

    pub fn into_router(self) -> Router<Api> {
        self.router
    }
}
