//! Routes on their way into the router. Every route of the API is made here and nowhere else, so
//! that a test can hold them against the table of `access`.

use super::Api;
use super::access;
use super::openapi::Doc;
use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, on};

#[derive(Default)]
pub struct Routes {
    router: Router<Api>,
    known: Vec<Known>,
    tags: Vec<Tag>,
}

/// A route, and what it says of itself.
pub struct Known {
    pub method: &'static str,
    pub path: String,
    pub doc: Option<Doc>,
}

/// A resource, under which operations are grouped for readers.
pub struct Tag {
    pub name: &'static str,
    pub text: &'static str,
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
        self.known.push(Known {
            method,
            path: path.to_owned(),
            doc: None,
        });
        self.router = self.router.route(path, on(filter, handler));
        self
    }

    /// Describes the route that was added last.
    pub fn doc(mut self, doc: Doc) -> Self {
        if let Some(known) = self.known.last_mut() {
            known.doc = Some(doc);
        }
        self
    }

    /// Describes the resource that all these are about.
    pub fn about(mut self, name: &'static str, text: &'static str) -> Self {
        for doc in self.known.iter_mut().filter_map(|known| known.doc.as_mut()) {
            doc.tagged(name);
        }
        self.tags.push(Tag { name, text });
        self
    }

    pub fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.known.extend(other.known);
        self.tags.extend(other.tags);
        self
    }

    pub fn known(&self) -> &[Known] {
        &self.known
    }

    pub fn tags(&self) -> &[Tag] {
        &self.tags
    }

    /// What is wrong between these and the table; empty when they are the same.
    pub fn differences(&self) -> Vec<String> {
        let unlisted = self
            .known
            .iter()
            .filter(|known| access::of(known.method, &known.path).is_none())
            .map(|known| {
                let Known { method, path, .. } = known;
                format!("{method} {path}: the table does not say who may")
            });
        let unserved = access::OPERATIONS
            .iter()
            .filter(|operation| {
                let is = |known: &Known| {
                    known.method == operation.method && known.path == operation.path
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
