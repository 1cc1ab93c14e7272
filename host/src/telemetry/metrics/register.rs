//! Names and words for people of everything that is counted.

use super::{Delivery, Families, Http, Ingress, Network, Traces, Writer};
use prometheus_client::registry::Registry;

pub fn counted(registry: &mut Registry, http: &Http, turns: &Families) {
    registry.register(
        "anyport_http_requests",
        "Requests by route template, method and status",
        http.requests.clone(),
    );
    registry.register(
        "anyport_http_request_duration_seconds",
        "From a request's head to its answer's, by route template",
        http.duration.clone(),
    );
    registry.register(
        "anyport_api_errors",
        "Answers that were errors, by code",
        http.errors.clone(),
    );
    registry.register(
        "anyport_turns",
        "Calls of a provider, starts among them",
        turns.turns.clone(),
    );
    registry.register(
        "anyport_guest_cpu_seconds",
        "CPU time of guest threads while they worked for a provider's accounts",
        turns.cpu.clone(),
    );
    registry.register(
        "anyport_instances_started",
        "Provider instances made",
        turns.instances.clone(),
    );
    registry.register(
        "anyport_faults",
        "Turns that failed: trap, err, limit; unreadable and no_room are not the provider's",
        turns.faults.clone(),
    );
    registry.register(
        "anyport_sends",
        "Sends that came to their end: sent, failed, unknown",
        turns.sends.clone(),
    );
    registry.register(
        "anyport_send_duration_seconds",
        "From a send's record to its end",
        turns.send_duration.clone(),
    );
}

pub fn writer(registry: &mut Registry, handles: &Writer) {
    registry.register(
        "anyport_commits",
        "Writes that were committed",
        handles.commits.clone(),
    );
    registry.register(
        "anyport_commit_groups",
        "Transactions that they were committed in",
        handles.groups.clone(),
    );
    registry.register(
        "anyport_commit_failures",
        "Transactions that the database refused",
        handles.failures.clone(),
    );
    registry.register(
        "anyport_commit_duration_seconds",
        "Of one transaction",
        handles.duration.clone(),
    );
    registry.register(
        "anyport_events_appended",
        "Events appended to the log",
        handles.events.clone(),
    );
    registry.register(
        "anyport_writer_waiting_entries",
        "Writes that wait for their transaction",
        handles.waiting.clone(),
    );
    registry.register(
        "anyport_writer_waiting_bytes",
        "About what they take",
        handles.waiting_bytes.clone(),
    );
    registry.register(
        "anyport_writer_trouble",
        "Writers that the database refuses; 0 is well",
        handles.trouble.clone(),
    );
}

pub fn rest(registry: &mut Registry, delivery: &Delivery, network: &Network, traces: &Traces) {
    registry.register(
        "anyport_delivery_attempts",
        "Webhook attempts: delivered, retry, given_up, parked, gone",
        delivery.attempts.clone(),
    );
    registry.register(
        "anyport_delivery_attempt_duration_seconds",
        "Of one webhook attempt",
        delivery.duration.clone(),
    );
    registry.register(
        "anyport_connections",
        "Connections of accounts that are open",
        network.open.clone(),
    );
    registry.register(
        "anyport_dials",
        "Connections that were tried: opened, failed",
        network.dialed.clone(),
    );
    registry.register(
        "anyport_http_requests_sent",
        "HTTP requests of accounts: answered (whatever the status), failed, denied by a policy",
        network.requested.clone(),
    );
    registry.register(
        "anyport_spans_exported",
        "Spans that the receiver took",
        traces.exported.clone(),
    );
    registry.register(
        "anyport_spans_dropped",
        "Spans that were lost: too many waited, or the receiver did not take them",
        traces.dropped.clone(),
    );
}

pub fn ingress(registry: &mut Registry, handles: &Ingress) {
    registry.register(
        "anyport_ingress_requests",
        "Requests of channels, by provider, route and what became of them",
        handles.requests.clone(),
    );
}
