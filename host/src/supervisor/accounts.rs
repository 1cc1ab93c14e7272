//! Accounts come, change and go.

use super::Supervisor;
use super::actor::Actor;
use super::control::{AccountChange, NewAccount, Refusal};
use super::mailbox::Order;
use super::schema;
use crate::domain::account::{Account, AuthStatus, Profile};
use crate::domain::{AccountId, PartitionId, Timestamp, WorkspaceId};
use crate::storage::AccountUpdate;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// The longest that a change of secrets waits for the old instance to go.
const STOPPED: Duration = Duration::from_secs(10);

/// May its runtime be up? The caller's switch says `active`, nobody stopped it, it is signed in.
pub fn signed_in_and_wanted(account: &Account) -> bool {
    account.wanted && account.status == "active" && account.auth_status == AuthStatus::Authorized
}

impl Supervisor {
    pub(super) async fn new_account(&self, new: NewAccount) -> Result<Account, Refusal> {
        let provider = self
            .providers
            .current(&new.provider)
            .ok_or_else(|| Refusal::UnknownProvider(new.provider.clone()))?;
        let mut config = new.config;
        let schema = &provider.descriptor.config_schema;
        let secrets = schema::take_secrets(schema, &mut config)?;
        let operator = &self.shared.settings.operator_config;
        let given: Vec<String> = secrets
            .iter()
            .filter(|secret| secret.value.is_some())
            .map(|secret| secret.name.clone())
            .chain(
                operator
                    .secrets(&provider.manifest.id, schema)
                    .into_iter()
                    .map(|(name, _)| name),
            )
            .collect();
        let merged = operator.merged(&provider.manifest.id, schema, &config);
        schema::check(schema, &merged, &given)?;
        let id = AccountId::generate();
        let account = Account {
            partition: PartitionId::of(&id),
            id,
            workspace: new.workspace,
            name: new.name.unwrap_or_default(),
            provider: provider.manifest.id.clone(),
            provider_alias: new.provider,
            region: new.region,
            status: new.status,
            auth_mode: new.auth_mode,
            metadata: new.metadata,
            config,
            proxy: new.proxy,
            provider_account_ref: new.provider_account_ref,
            profile: Profile::default(),
            auth_status: AuthStatus::PendingAuth,
            last_error: None,
            wanted: true,
            provider_digest: Some(provider.digest.clone()),
            turn_seq: 0,
            kv_bytes: 0,
            created_at: Timestamp::now(),
            clock_at: Timestamp(0),
        };
        self.shared.store.create_account(&account, &secrets).await?;
        // The owner of its partition, if that is another host, finds it when it is asked for it.
        if self.owns(&account.id) {
            self.add_actor(account.clone())
                .ok_or_else(|| Refusal::UnknownProvider(account.provider.clone()))?;
        }
        Ok(account)
    }

    pub(super) async fn change_account(
        &self,
        workspace: &WorkspaceId,
        id: &AccountId,
        change: AccountChange,
    ) -> Result<Account, Refusal> {
        let present = self
            .shared
            .store
            .account(workspace, id)
            .await?
            .ok_or(Refusal::UnknownAccount)?;
        let actor = self.owned(id).await?;
        let provider = self
            .providers
            .by_digest(&actor.look(|live| live.digest.clone()))
            .ok_or_else(|| Refusal::UnknownProvider(present.provider.clone()))?;
        let schema = &provider.descriptor.config_schema;
        let mut update = AccountUpdate {
            name: change.name,
            status: change.status,
            auth_mode: change.auth_mode,
            metadata: change.metadata,
            proxy: change.proxy,
            provider_account_ref: change.provider_account_ref,
            config: None,
        };
        let mut secrets = Vec::new();
        if let Some(mut over) = change.config {
            secrets = schema::take_secrets(schema, &mut over)?;
            let config = merged(present.config.clone(), over);
            let stored = self.shared.store.secrets(id).await?;
            let mut given: Vec<String> = stored.into_iter().map(|(name, _)| name).collect();
            for secret in &secrets {
                given.retain(|name| *name != secret.name);
                if secret.value.is_some() {
                    given.push(secret.name.clone());
                }
            }
            let operator = &self.shared.settings.operator_config;
            let under = operator.secrets(&provider.manifest.id, schema);
            given.extend(under.into_iter().map(|(name, _)| name));
            let whole = operator.merged(&provider.manifest.id, schema, &config);
            schema::check(schema, &whole, &given)?;
            update.config = Some(config);
        }
        let seen = update.config.is_some() || update.proxy.is_some() || !secrets.is_empty();
        let was_active = present.status == "active";
        let account = self
            .shared
            .store
            .update_account(id, &update, &secrets)
            .await?;
        if seen {
            // Secrets are read anew with the ledger: a changed one asks for a fresh start.
            if secrets.is_empty() {
                actor.order(Order::Replace {
                    provider: None,
                    account: Some(Box::new(account.clone())),
                    done: None,
                });
            } else {
                let (done, stopped) = oneshot::channel();
                actor.order(Order::Replace {
                    provider: None,
                    account: Some(Box::new(account.clone())),
                    done: None,
                });
                actor.order(Order::Stop {
                    wanted: None,
                    restart: account.wanted && account.status == "active",
                    done: Some(done),
                });
                // What the client asks for next finds the new secret, not the end of the old one.
                let _ = tokio::time::timeout(STOPPED, stopped).await;
            }
        } else {
            actor.order(Order::Renamed(Box::new(account.clone())));
        }
        match (was_active, account.status == "active") {
            (true, false) => actor.order(Order::Stop {
                wanted: None,
                restart: false,
                done: None,
            }),
            (false, true) if signed_in_and_wanted(&account) && !self.rests(workspace) => {
                actor.order(Order::Start { done: None });
            }
            _ => {}
        }
        Ok(account)
    }
}

impl Supervisor {
    /// An account whose provider is missing does not run, and can be deleted nevertheless.
    pub(super) async fn to_end(&self, id: &AccountId) -> Result<Option<Arc<Actor>>, Refusal> {
        match self.owned(id).await {
            Ok(actor) => Ok(Some(actor)),
            Err(Refusal::UnknownAccount) => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }
}

/// Key by key; null removes.
fn merged(mut present: Value, over: Value) -> Value {
    if let (Value::Object(present), Value::Object(over)) = (&mut present, over) {
        for (key, value) in over {
            if value.is_null() {
                present.remove(&key);
            } else {
                present.insert(key, value);
            }
        }
    }
    present
}
