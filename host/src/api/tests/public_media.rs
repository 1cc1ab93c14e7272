//! Addresses of media whose bytes are still at the channel.

use super::{Host, Settings};
use crate::domain::media::AttachmentSource;
use crate::storage::blobs::StoredAttachment;
use std::time::Duration;

#[tokio::test]
async fn whoever_asks_is_put_off_while_the_provider_goes_on() {
    let host = Host::with(Settings {
        media_wait: Duration::from_millis(10),
        ..Settings::default()
    });
    let account = host.account().await;
    *host.media.attachment.lock().unwrap() = Some(StoredAttachment {
        workspace: host.workspace.clone(),
        account: crate::domain::AccountId::from_text(account),
        source: AttachmentSource {
            reference: Some("photo".into()),
            mime: None,
            filename: None,
        },
        blob: None,
    });
    for _ in 0..2 {
        let put_off = host.get("/media/token").await;
        assert_eq!(
            (put_off.status, put_off.code()),
            (503, "provider_unavailable")
        );
        assert_eq!(put_off.headers["retry-after"], "10");
    }
    assert_eq!(host.control.script().media, ["photo"], "once, for all");
    host.control.script().medium.send_replace(true);
    let last = loop {
        let last = host.get("/media/token").await;
        if last.status != 503 {
            break last;
        }
    };
    assert_eq!((last.status, last.code()), (410, "media_gone"));
}
