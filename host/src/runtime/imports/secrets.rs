//! `secrets`: named by the manifest. `reveal` needs a grant of its own and is audited.

use super::keys::{self, Algorithm, Hasher};
use crate::domain::SecretBytes;
use crate::domain::error::{Failure, FailureCode};
use crate::runtime::convert;
use crate::runtime::guest::GuestState;
use crate::runtime::limits::breach;
use crate::runtime::turn::Turn;
use anyport_contract::anyport::provider::{secrets, types};
use wasmtime::Result;

const SECRET_BYTES: usize = 64 * 1024;

fn check_name(turn: &Turn, name: &str) -> Result<()> {
    if !turn
        .facts
        .manifest
        .secrets
        .names
        .iter()
        .any(|known| known == name)
    {
        return breach(format!("the manifest names no secret `{name}`"));
    }
    Ok(())
}

fn refused<T>(code: FailureCode, message: String) -> std::result::Result<T, types::Error> {
    Err(convert::error(&Failure::new(code, message)))
}

fn missing<T>(name: &str) -> std::result::Result<T, types::Error> {
    refused(
        FailureCode::NotFound,
        format!("the account has no secret `{name}`"),
    )
}

impl secrets::Host for GuestState {
    fn exists(&mut self, name: String) -> Result<bool> {
        let turn = self.reads("secrets.exists")?;
        check_name(turn, &name)?;
        Ok(turn.ledger.secret(&name).is_some())
    }

    fn put(&mut self, name: String, value: Vec<u8>) -> Result<()> {
        let turn = self.asks("secrets.put")?;
        check_name(turn, &name)?;
        if value.len() > SECRET_BYTES {
            return breach(format!(
                "a secret has at most {SECRET_BYTES} bytes, this one has {}",
                value.len()
            ));
        }
        turn.spend(name.len() + value.len())?;
        let value = SecretBytes::from(value);
        turn.ledger.set_secret(&name, Some(value.clone()));
        turn.effects.secrets.insert(name, Some(value));
        Ok(())
    }

    fn remove(&mut self, name: String) -> Result<()> {
        let turn = self.asks("secrets.remove")?;
        check_name(turn, &name)?;
        turn.spend(name.len())?;
        turn.ledger.set_secret(&name, None);
        turn.effects.secrets.insert(name, None);
        Ok(())
    }

    fn hmac(
        &mut self,
        name: String,
        hash: String,
        data: Vec<u8>,
    ) -> Result<std::result::Result<Vec<u8>, types::Error>> {
        let turn = self.reads("secrets.hmac")?;
        check_name(turn, &name)?;
        let Some(key) = turn.ledger.secret(&name) else {
            return Ok(missing(&name));
        };
        Ok(match keys::mac(&hash, key, &data) {
            Some(tag) => Ok(tag),
            None => refused(
                FailureCode::Unsupported,
                format!("`secrets.hmac` offers sha1, sha256 and sha512, not `{hash}`"),
            ),
        })
    }

    fn digest(
        &mut self,
        hash: String,
        parts: Vec<secrets::Part>,
    ) -> Result<std::result::Result<Vec<u8>, types::Error>> {
        let turn = self.reads("secrets.digest")?;
        let Some(mut digest) = Hasher::new(&hash) else {
            return Ok(refused(
                FailureCode::Unsupported,
                format!("`secrets.digest` offers md5, sha1 and sha256, not `{hash}`"),
            ));
        };
        for part in parts {
            match part {
                secrets::Part::Bytes(bytes) => digest.update(&bytes),
                secrets::Part::Secret(name) => {
                    check_name(turn, &name)?;
                    let Some(value) = turn.ledger.secret(&name) else {
                        return Ok(missing(&name));
                    };
                    digest.update(value);
                }
            }
        }
        Ok(Ok(digest.finish()))
    }

    fn sign(
        &mut self,
        name: String,
        algorithm: String,
        data: Vec<u8>,
    ) -> Result<std::result::Result<Vec<u8>, types::Error>> {
        let turn = self.reads("secrets.sign")?;
        check_name(turn, &name)?;
        let Some(known) = Algorithm::parse(&algorithm) else {
            return Ok(refused(
                FailureCode::Unsupported,
                format!("`secrets.sign` offers rs256, es256 and ed25519, not `{algorithm}`"),
            ));
        };
        let Some(key) = turn.ledger.secret(&name) else {
            return Ok(missing(&name));
        };
        Ok(keys::sign(known, key, &data).or_else(|problem| {
            let message = format!("the secret `{name}` and {algorithm}: {problem}");
            refused(FailureCode::Invalid, message)
        }))
    }

    fn reveal(
        &mut self,
        name: String,
    ) -> Result<std::result::Result<Option<Vec<u8>>, types::Error>> {
        let turn = self.reads("secrets.reveal")?;
        check_name(turn, &name)?;
        if !turn.facts.manifest.secrets.reveal.contains(&name) {
            return Ok(refused(
                FailureCode::Denied,
                format!("the manifest does not grant `secrets.reveal` of `{name}`"),
            ));
        }
        if !turn.revealed.contains(&name) {
            tracing::info!(
                target: "audit",
                account = %turn.facts.id,
                provider = turn.facts.manifest.id,
                secret = name,
                "the provider read a secret of the account"
            );
            turn.revealed.push(name.clone());
        }
        Ok(Ok(turn.ledger.secret(&name).map(<[u8]>::to_vec)))
    }
}
