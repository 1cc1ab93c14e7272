//! How webhook deliveries reach their receivers: through the network's guard.

use crate::delivery::{Dial, Stream};
use crate::network::dial::Dialer;
use async_trait::async_trait;

pub struct Guarded(pub Dialer);

#[async_trait]
impl Dial for Guarded {
    async fn connect(&self, host: &str, port: u16, tls: bool) -> Result<Box<dyn Stream>, String> {
        let dialed: Result<Box<dyn Stream>, _> = if tls {
            self.0
                .connect_tls(host, port)
                .await
                .map(|stream| Box::new(stream) as _)
        } else {
            self.0
                .connect_tcp(host, port)
                .await
                .map(|stream| Box::new(stream) as _)
        };
        dialed.map_err(|error| error.message)
    }
}
