//! `secrets`: named by the manifest. `reveal` needs a grant of its own and is audited.

use crate::domain::SecretBytes;
use crate::domain::error::{Failure, FailureCode};
use crate::runtime::convert;
use crate::runtime::guest::GuestState;
use crate::runtime::limits::breach;
use crate::runtime::turn::Turn;
use anyport_contract::anyport::provider::{secrets, types};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};
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
        fn mac<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Option<Vec<u8>> {
            let mut mac = <M as KeyInit>::new_from_slice(key).ok()?;
            mac.update(data);
            Some(mac.finalize().into_bytes().to_vec())
        }
        let tag = match hash.as_str() {
            "sha256" => mac::<Hmac<Sha256>>(key, &data),
            "sha512" => mac::<Hmac<Sha512>>(key, &data),
            _ => None,
        };
        Ok(match tag {
            Some(tag) => Ok(tag),
            None => refused(
                FailureCode::Unsupported,
                format!("`secrets.hmac` offers sha256 and sha512 here, not `{hash}`"),
            ),
        })
    }

    fn digest(
        &mut self,
        hash: String,
        parts: Vec<secrets::Part>,
    ) -> Result<std::result::Result<Vec<u8>, types::Error>> {
        let turn = self.reads("secrets.digest")?;
        if hash != "sha256" {
            return Ok(refused(
                FailureCode::Unsupported,
                format!("`secrets.digest` offers sha256 here, not `{hash}`"),
            ));
        }
        let mut digest = Sha256::new();
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
        Ok(Ok(digest.finalize().to_vec()))
    }

    fn sign(
        &mut self,
        name: String,
        algorithm: String,
        _data: Vec<u8>,
    ) -> Result<std::result::Result<Vec<u8>, types::Error>> {
        let turn = self.reads("secrets.sign")?;
        check_name(turn, &name)?;
        Ok(refused(
            FailureCode::Unsupported,
            format!("this host does not offer `secrets.sign` with `{algorithm}` yet"),
        ))
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
