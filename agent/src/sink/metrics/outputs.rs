//! What the outputs of events say of themselves: the memory, standard output, OTLP.

use prometheus::{IntCounterVec, Opts, core::Collector, proto::MetricFamily};

use super::own::{counter, gauge};
use crate::sink::Outputs;

pub(super) fn families(outputs: &Outputs) -> prometheus::Result<Vec<MetricFamily>> {
    let (events, bytes, forgotten) = outputs.remembered;
    let out = IntCounterVec::new(
        Opts::new("wstap_events_out_total", "Events for an output, by what became of them."),
        &["output", "result"],
    )?;
    for (output, result, count) in &outputs.events {
        out.with_label_values(&[output, result]).inc_by(*count);
    }
    let parts = [
        out.collect(),
        gauge("wstap_history_events", "Events that the agent remembers.", events)?,
        gauge("wstap_history_bytes", "Bytes that these take.", bytes)?,
        counter(
            "wstap_history_events_forgotten_total",
            "Events that the agent forgot at --history-bytes.",
            forgotten,
        )?,
    ];
    Ok(parts.into_iter().flatten().filter(|family| !family.get_metric().is_empty()).collect())
}
