//! stub
use crate::{domain::EndpointId, storage::{Store, writer::Writer}};
use std::sync::Arc;
#[derive(Clone)] pub struct Delivery;
#[derive(Default)] pub struct Settings;
pub mod dial { pub struct Guarded; impl Guarded { pub fn new(_d: crate::network::dial::Dialer) -> Self { Self } } }
impl Delivery { pub fn start(_s: Arc<dyn Store>, _w: Writer, _d: Arc<dial::Guarded>, _x: Settings) -> Self { Self } pub fn reload(&self, _i: EndpointId) {} pub async fn shutdown(&self) {} }
