//! `connections`: asked for here, opened and written after the commit. Each call sees what the
//! turn asked for before it.

use super::size;
use crate::runtime::guest::GuestState;
use crate::runtime::ledger::{ConnectionState, ConnectionView};
use crate::runtime::limits::breach;
use crate::runtime::port::{ConnectionSpec, Framing, Transport};
use crate::runtime::turn::{NetworkEffect, check_label};
use anyport_contract::anyport::provider::{connections, types};
use std::sync::Arc;
use wasmtime::Result;

/// The longest frame that a connection may ask for.
const FRAME_BYTES: u32 = 16 << 20;

fn convert_spec(spec: connections::Spec) -> Result<ConnectionSpec> {
    let transport = match spec.transport {
        connections::Transport::Tcp(to) => Transport::Tcp {
            host: to.host,
            port: to.port,
        },
        connections::Transport::Tls(to) => Transport::Tls {
            host: to.host,
            port: to.port,
        },
        connections::Transport::Websocket(_) => {
            return breach("this host does not offer connections over websocket yet");
        }
        connections::Transport::HttpStream(_) => {
            return breach("this host does not offer connections over http-stream yet");
        }
    };
    let framing = match spec.framing {
        connections::Framing::Raw => Framing::Raw,
        connections::Framing::Line => Framing::Line,
        connections::Framing::LengthPrefix(prefix) => {
            if !(1..=4).contains(&prefix.width) {
                return breach(format!(
                    "a length prefix is 1, 2, 3 or 4 bytes wide, not {}",
                    prefix.width
                ));
            }
            Framing::LengthPrefix {
                width: prefix.width,
                big_endian: prefix.big_endian,
                adjust: prefix.adjust,
                strip: prefix.strip,
            }
        }
        connections::Framing::Message => {
            return breach("framing `message` is only for websockets");
        }
        connections::Framing::ServerSentEvents => {
            return breach("framing `server-sent-events` is only for http-stream");
        }
    };
    if spec.max_frame_bytes == 0 || spec.max_frame_bytes > FRAME_BYTES {
        return breach(format!(
            "max-frame-bytes is 1 to {FRAME_BYTES}, not {}",
            spec.max_frame_bytes
        ));
    }
    Ok(ConnectionSpec {
        transport,
        framing,
        max_frame_bytes: spec.max_frame_bytes,
        ping_interval_ms: spec.ping_interval_ms,
        connect_timeout_ms: spec.connect_timeout_ms,
    })
}

/// The bytes of a frame, if the connection's framing can carry them.
fn frame_bytes(spec: &ConnectionSpec, frame: types::Frame) -> Result<Vec<u8>> {
    let bytes = match frame {
        types::Frame::Binary(bytes) => bytes,
        types::Frame::Text(text) => text.into_bytes(),
    };
    match spec.framing {
        Framing::Line if bytes.iter().any(|byte| matches!(byte, b'\n' | b'\r')) => {
            breach("a frame of a line connection holds no line break")
        }
        Framing::LengthPrefix {
            width,
            adjust,
            strip: true,
            ..
        } => {
            let value = bytes.len() as i64 - i64::from(adjust);
            if value < 0 || value >= 1i64 << (8 * u32::from(width)) {
                return breach(format!(
                    "a frame of {} bytes does not fit a length prefix of {width} bytes",
                    bytes.len()
                ));
            }
            Ok(bytes)
        }
        _ => Ok(bytes),
    }
}

impl connections::Host for GuestState {
    fn ensure(&mut self, name: String, spec: connections::Spec) -> Result<connections::State> {
        let turn = self.asks("connections.ensure")?;
        check_label(&name)?;
        let spec = convert_spec(spec)?;
        if let Some(view) = turn.ledger.connections.get(&name) {
            if *view.spec == spec {
                return Ok(match view.state {
                    ConnectionState::Connecting => connections::State::Connecting,
                    ConnectionState::Open => connections::State::Open,
                });
            }
            let generation = view.generation;
            turn.effects.network.push(NetworkEffect::Close {
                label: name.clone(),
                generation,
            });
        } else if turn.ledger.connections.len() >= turn.facts.limits.connections {
            return breach(format!(
                "an account holds at most {} connections",
                turn.facts.limits.connections
            ));
        }
        turn.spend(name.len() + size::connection(&spec))?;
        let (spec, generation) = (Arc::new(spec), turn.ledger.next_generation());
        turn.ledger.set_connection(
            &name,
            Some(ConnectionView {
                generation,
                spec: spec.clone(),
                state: ConnectionState::Connecting,
            }),
        );
        turn.effects.network.push(NetworkEffect::Open {
            label: name,
            generation,
            spec,
        });
        Ok(connections::State::Connecting)
    }

    fn send(&mut self, name: String, frame: types::Frame) -> Result<()> {
        let turn = self.asks("connections.send")?;
        check_label(&name)?;
        let Some(view) = turn.ledger.connections.get(&name) else {
            return Ok(());
        };
        let (bytes, generation) = (frame_bytes(&view.spec, frame)?, view.generation);
        turn.spend(bytes.len())?;
        turn.effects.network.push(NetworkEffect::Send {
            label: name,
            generation,
            bytes,
        });
        Ok(())
    }

    fn start_tls(&mut self, name: String, server_name: String) -> Result<()> {
        let turn = self.asks("connections.start-tls")?;
        check_label(&name)?;
        let Some(view) = turn.ledger.connections.get(&name).cloned() else {
            return Ok(());
        };
        turn.spend(server_name.len())?;
        turn.effects.network.push(NetworkEffect::StartTls {
            label: name.clone(),
            generation: view.generation,
            server_name,
        });
        turn.ledger.set_connection(
            &name,
            Some(ConnectionView {
                state: ConnectionState::Connecting,
                ..view
            }),
        );
        Ok(())
    }

    fn close(&mut self, name: String) -> Result<()> {
        let turn = self.asks("connections.close")?;
        check_label(&name)?;
        if let Some(view) = turn.ledger.connections.get(&name) {
            let generation = view.generation;
            turn.ledger.set_connection(&name, None);
            turn.effects.network.push(NetworkEffect::Close {
                label: name,
                generation,
            });
        }
        Ok(())
    }
}
