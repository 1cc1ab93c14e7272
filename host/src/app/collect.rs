//! Metrics that are looked at when somebody asks: what accounts and endpoints are doing.

use crate::delivery::Delivery;
use crate::storage::lease::OwnershipState;
use crate::supervisor::Supervisor;
use crate::supervisor::control::Control as _;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;
use std::sync::Arc;

pub struct Looked {
    pub supervisor: Arc<Supervisor>,
    pub delivery: Delivery,
}

impl fmt::Debug for Looked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Looked")
    }
}

impl Collector for Looked {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let states = self.supervisor.count_states();
        let mut family = encoder.encode_descriptor(
            "anyport_accounts",
            "Accounts of this host by the state of their runtime",
            None,
            MetricType::Gauge,
        )?;
        for (state, count) in states {
            let labels = [("state", state.as_str())];
            ConstGauge::new(count as i64).encode(family.encode_family(&labels)?)?;
        }
        let lag = self.delivery.summary();
        let mut family = encoder.encode_descriptor(
            "anyport_endpoints",
            "Webhook endpoints by state",
            None,
            MetricType::Gauge,
        )?;
        for (state, count) in lag.states {
            let labels = [("state", state)];
            ConstGauge::new(count as i64).encode(family.encode_family(&labels)?)?;
        }
        let (partitions, standby) = match self.supervisor.ownership() {
            OwnershipState::Active { partitions } => (partitions, 0),
            OwnershipState::Starting => (0, 0),
            OwnershipState::Standby => (0, 1),
        };
        for (name, help, value) in [
            (
                "anyport_delivery_behind_events",
                "Events above the cursors of the endpoint that is furthest behind",
                lag.furthest_behind,
            ),
            (
                "anyport_delivery_waiting_events",
                "Events that wait for a retry, or behind one, over all endpoints",
                lag.detours,
            ),
            (
                "anyport_delivery_in_flight",
                "Webhook requests under way",
                lag.in_flight,
            ),
            (
                "anyport_delivery_open_breakers",
                "Endpoints that failed so often that only probes go to them",
                lag.open_breakers,
            ),
            (
                "anyport_partitions_owned",
                "Of the log's 64",
                partitions as u64,
            ),
            (
                "anyport_standby",
                "1 while another host owns the log",
                standby,
            ),
        ] {
            let gauge = ConstGauge::new(value as i64);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}
