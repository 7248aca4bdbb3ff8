//! Metrics in Prometheus' text form. Not here: what a command counts.

use std::fmt::Write as _;

use crate::registry::{GateStatus, Registry};

/// The text of some metrics.
#[derive(Default)]
pub(super) struct MetricText {
    text: String,
}

impl MetricText {
    /// Appends a metric with one value.
    pub(super) fn metric(&mut self, kind: &str, name: &str, help: &str, value: f64) {
        self.head(kind, name, help);
        let _ = writeln!(self.text, "all_docs_{name} {value}");
    }

    /// Appends counters: the name, the help and the value of each.
    pub(super) fn counters(&mut self, counters: &[(&str, &str, u64)]) {
        for (name, help, value) in counters {
            self.metric("counter", name, help, *value as f64);
        }
    }

    /// Appends a metric with a value for each value of a label.
    pub(super) fn labelled(&mut self, kind: &str, name: &str, help: &str, label: &str, values: &[(&str, f64)]) {
        self.head(kind, name, help);
        for (of, value) in values {
            let _ = writeln!(self.text, "all_docs_{name}{{{label}=\"{of}\"}} {value}");
        }
    }

    fn head(&mut self, kind: &str, name: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP all_docs_{name} {help}\n# TYPE all_docs_{name} {kind}");
    }

    /// Appends the counters of a registry, and the state of its gates, by host.
    pub(super) fn registry(&mut self, registry: &Registry) {
        let statistics = registry.statistics();
        self.counters(&[
            ("requests_total", "Requests sent, retries and redirects included.", statistics.requests),
            ("retries_total", "Requests that were sent because an earlier one failed.", statistics.retries),
            ("refusals_total", "Responses that asked for fewer requests.", statistics.refusals),
            ("not_modified_total", "Documents that had not changed.", statistics.not_modified),
            ("received_bytes_total", "Bytes of bodies as received.", statistics.wire_bytes),
        ]);
        let mut gates = registry.gates().to_vec();
        gates.dedup_by(|one, other| one.host == other.host);
        let closed = |gate: &GateStatus| gate.closed_for.map_or(0.0, |closed| closed.as_secs_f64());
        type Value<'a> = &'a dyn Fn(&GateStatus) -> f64;
        let values: [(&str, &str, Value<'_>); 3] = [
            ("gate_closed_seconds", "How long no request will be sent to the host.", &closed),
            ("gate_requests_in_flight", "Requests in flight.", &|gate| f64::from(gate.in_flight)),
            ("gate_concurrency", "Requests that may be in flight at present.", &|gate| f64::from(gate.concurrency)),
        ];
        for (name, help, value) in values {
            let of_hosts: Vec<(&str, f64)> = gates.iter().map(|gate| (gate.host.as_str(), value(gate))).collect();
            self.labelled("gauge", name, help, "host", &of_hosts);
        }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}
