//! Joins the tracer with the network: traces go where the operator says.

use super::config::{OtlpConfig, secret};
use crate::network::Network;
use crate::network::post::Poster;
use crate::telemetry::{Exporter, ExporterSettings, Metrics, Tracer};
use anyhow::anyhow;
use std::sync::Arc;

/// Of OTLP over HTTP.
const PATH: &str = "/v1/traces";

pub fn start(
    config: &OtlpConfig,
    network: &Network,
    metrics: &Metrics,
) -> anyhow::Result<(Tracer, Option<Exporter>)> {
    let Some(endpoint) = &config.endpoint else {
        return Ok((Tracer::default(), None));
    };
    let headers = config
        .headers
        .as_ref()
        .and_then(secret::pairs)
        .unwrap_or_default();
    let poster = Poster::new(&network.dialer(), endpoint, PATH, headers)
        .map_err(|reason| anyhow!("otlp.endpoint: {reason}"))?;
    let settings = ExporterSettings {
        service: config.service_name.clone(),
        sample_ratio: config.sample_ratio,
    };
    let (tracer, exporter) = Exporter::start(settings, Arc::new(poster), metrics.traces.clone());
    tracing::info!(endpoint, "traces are exported");
    Ok((tracer, Some(exporter)))
}
