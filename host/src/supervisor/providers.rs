//! The providers that this host knows: which version new accounts get, which versions run, and
//! what was refused. What decides after a restart is in storage; this is the picture of it.

use super::control::{ProviderInfo, Refused};
use crate::domain::Timestamp;
use crate::runtime::Provider;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, RwLock};

#[derive(Default)]
pub struct Providers {
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    by_digest: HashMap<String, Arc<Provider>>,
    /// Provider id → digest of the current version.
    current: BTreeMap<String, String>,
    refusals: BTreeMap<String, Refused>,
    /// Digests of versions that another host installed and this one cannot run.
    given_up: HashSet<String>,
    /// Of the current versions, as they are handed out.
    infos: BTreeMap<String, Arc<ProviderInfo>>,
}

impl Providers {
    pub fn add(&self, provider: Arc<Provider>) {
        if let Ok(mut inner) = self.inner.write() {
            inner.by_digest.insert(provider.digest.clone(), provider);
        }
    }

    pub fn set_current(&self, provider: &str, digest: &str) {
        if let Ok(mut inner) = self.inner.write() {
            inner.current.insert(provider.to_owned(), digest.to_owned());
            inner.refusals.remove(provider);
            inner.refresh(provider);
        }
    }

    pub fn give_up(&self, digest: &str) {
        if let Ok(mut inner) = self.inner.write() {
            inner.given_up.insert(digest.to_owned());
        }
    }

    pub fn gave_up(&self, digest: &str) -> bool {
        let inner = self.inner.read();
        inner.is_ok_and(|inner| inner.given_up.contains(digest))
    }

    pub fn by_digest(&self, digest: &str) -> Option<Arc<Provider>> {
        self.inner.read().ok()?.by_digest.get(digest).cloned()
    }

    /// The current version, by id or alias.
    pub fn current(&self, name: &str) -> Option<Arc<Provider>> {
        let inner = self.inner.read().ok()?;
        let of = |digest: &String| inner.by_digest.get(digest).cloned();
        if let Some(provider) = inner.current.get(name).and_then(of) {
            return Some(provider);
        }
        inner
            .current
            .values()
            .filter_map(of)
            .find(|provider| provider.manifest.aliases.iter().any(|alias| alias == name))
    }

    /// Remembers why a component was refused. `provider`: its id, or the name of what it came
    /// from when it could not be read.
    pub fn refused(&self, provider: &str, source: &str, reason: &str) {
        tracing::error!(
            provider,
            source,
            reason,
            "a component was refused; what runs goes on"
        );
        const KEPT: usize = 100;
        if let Ok(mut inner) = self.inner.write() {
            if inner.refusals.len() >= KEPT {
                inner.refusals.clear();
                let ids: Vec<String> = inner.current.keys().cloned().collect();
                ids.iter().for_each(|id| inner.refresh(id));
            }
            let refused = Refused {
                at: Timestamp::now(),
                source: source.to_owned(),
                reason: reason.to_owned(),
            };
            inner.refusals.insert(provider.to_owned(), refused);
            inner.refresh(provider);
        }
    }

    /// `running`: digests that accounts run, one entry per account, with the provider's id.
    pub fn list(&self, running: &[(String, String)]) -> Vec<ProviderInfo> {
        let Ok(inner) = self.inner.read() else {
            return Vec::new();
        };
        inner
            .current
            .iter()
            .filter_map(|(id, digest)| {
                let provider = inner.by_digest.get(digest)?;
                let mut other: BTreeMap<String, u64> = BTreeMap::new();
                let mut accounts = 0;
                for (_, runs) in running.iter().filter(|(of, _)| of == id) {
                    accounts += 1;
                    if runs != digest {
                        *other.entry(runs.clone()).or_default() += 1;
                    }
                }
                Some(ProviderInfo {
                    accounts,
                    other_versions: other.into_iter().collect(),
                    ..info(&inner, id, provider)
                })
            })
            .collect()
    }

    /// One provider, without its accounts counted.
    pub fn one(&self, id: &str) -> Option<Arc<ProviderInfo>> {
        self.inner.read().ok()?.infos.get(id).cloned()
    }

    /// One version, which need not be the current one.
    pub fn version(&self, digest: &str) -> Option<Arc<ProviderInfo>> {
        let inner = self.inner.read().ok()?;
        let provider = inner.by_digest.get(digest)?;
        let id = &provider.manifest.id;
        match inner.infos.get(id) {
            Some(current) if current.digest == digest => Some(current.clone()),
            _ => Some(Arc::new(info(&inner, id, provider))),
        }
    }

    pub fn ids(&self) -> Vec<String> {
        self.inner
            .read()
            .map(|inner| inner.current.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// Refusals of components that belong to no provider that is known.
    pub fn stray_refusals(&self) -> Vec<Refused> {
        let Ok(inner) = self.inner.read() else {
            return Vec::new();
        };
        inner
            .refusals
            .iter()
            .filter(|(id, _)| !inner.current.contains_key(*id))
            .map(|(_, refused)| refused.clone())
            .collect()
    }
}

impl Inner {
    fn refresh(&mut self, id: &str) {
        let digest = self.current.get(id);
        if let Some(provider) = digest.and_then(|digest| self.by_digest.get(digest)) {
            let info = Arc::new(info(self, id, provider));
            self.infos.insert(id.to_owned(), info);
        }
    }
}

fn info(inner: &Inner, id: &str, provider: &Provider) -> ProviderInfo {
    ProviderInfo {
        manifest: (*provider.manifest).clone(),
        digest: provider.digest.clone(),
        features: provider.descriptor.features.clone(),
        sign_in_methods: provider.descriptor.sign_in_methods.clone(),
        config_schema: provider.descriptor.config_schema.clone(),
        can_send: provider.can_send(),
        can_sign_in: provider.can_sign_in(),
        can_fetch_media: provider.can_fetch_media(),
        accounts: 0,
        other_versions: Vec::new(),
        last_refusal: inner.refusals.get(id).cloned(),
    }
}
