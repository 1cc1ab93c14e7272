//! stub
use crate::domain::AccountId;
use anyport_contract::anyport::provider::events;
#[derive(Debug)]
pub struct Normalized {
    pub kind: String,
}
impl Normalized {
    pub fn size(&self) -> usize {
        0
    }
}
pub trait ReplyTokens: Send + Sync {
    fn seal(&self, account: &AccountId) -> String;
}
pub fn normalize(
    _e: events::Emission,
    _a: &AccountId,
    _t: &dyn ReplyTokens,
) -> Result<Normalized, String> {
    Err(String::new())
}
