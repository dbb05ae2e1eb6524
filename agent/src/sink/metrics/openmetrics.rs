//! The same families in the OpenMetrics text format 1.0, with an exemplar on each series of failed handshakes: the id of
//! its last event, and the trace of that event's request.
//!
//! The crate `prometheus` writes its own text format only, and knows no exemplars; what it gathers is written here.

use std::{collections::HashMap, fmt::Write as _, time::Duration};

use prometheus::proto::{Histogram, LabelPair, Metric, MetricFamily, MetricType};

/// What a client of `/metrics` accepts for this format, and gets.
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text";
/// The family whose series have exemplars.
const FAMILY: &str = "ws_handshakes_total";

/// The last failure of each series, by the series' labels.
#[derive(Debug, Default)]
pub(super) struct Exemplars(HashMap<String, Exemplar>);

/// The event of a failure.
#[derive(Debug)]
struct Exemplar {
    event_id: String,
    trace_id: Option<String>,
    time: Duration,
}

impl Exemplars {
    /// Remembers the event as its series' last one. There are as many as series, which are bounded.
    pub(super) fn put(
        &mut self,
        labels: &[(&str, &str)],
        event_id: &str,
        trace_id: Option<&str>,
        time: &str,
    ) {
        let time = time.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond);
        let time = time.ok().and_then(|millis| u64::try_from(millis).ok()).unwrap_or(0);
        let exemplar = Exemplar {
            event_id: event_id.to_owned(),
            trace_id: trace_id.map(str::to_owned),
            time: Duration::from_millis(time),
        };
        self.0.insert(key(labels.iter().copied()), exemplar);
    }

    /// A series is gone.
    pub(super) fn remove(&mut self, labels: &[(&str, &str)]) {
        self.0.remove(&key(labels.iter().copied()));
    }

    fn of(&self, metric: &Metric) -> Option<&Exemplar> {
        self.0.get(&key(metric.get_label().iter().map(|label| (label.name(), label.value()))))
    }
}

/// Labels in whatever order.
fn key<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut pairs: Vec<_> = labels.collect();
    pairs.sort_unstable();
    let parts: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}\u{1f}{value}")).collect();
    parts.join("\u{1e}")
}

/// The families as text.
pub(super) fn encode(families: &[MetricFamily], exemplars: &Exemplars) -> String {
    let mut out = String::new();
    for family in families {
        let name = family.name();
        // The name of a counter's family has no suffix, that of its samples has.
        let (of_family, kind) = match family.get_field_type() {
            MetricType::COUNTER => (name.strip_suffix("_total").unwrap_or(name), "counter"),
            MetricType::GAUGE => (name, "gauge"),
            MetricType::HISTOGRAM => (name, "histogram"),
            MetricType::SUMMARY | MetricType::UNTYPED => (name, "unknown"),
        };
        let _ = writeln!(out, "# HELP {of_family} {}", escaped(family.help()));
        let _ = writeln!(out, "# TYPE {of_family} {kind}");
        for metric in family.get_metric() {
            let labels = metric.get_label();
            match family.get_field_type() {
                MetricType::COUNTER => {
                    let _ = write!(
                        out,
                        "{of_family}_total{} {}",
                        braces(labels, None),
                        metric.get_counter().get_value()
                    );
                    let exemplar = exemplars.of(metric).filter(|_| name == FAMILY);
                    if let Some(exemplar) = exemplar {
                        put(&mut out, exemplar);
                    }
                    out.push('\n');
                }
                MetricType::GAUGE => {
                    let value = metric.get_gauge().get_value();
                    let _ = writeln!(out, "{name}{} {value}", braces(labels, None));
                }
                MetricType::HISTOGRAM => histogram(&mut out, name, labels, metric.get_histogram()),
                MetricType::SUMMARY | MetricType::UNTYPED => {}
            }
        }
    }
    out.push_str("# EOF\n");
    out
}

fn put(out: &mut String, exemplar: &Exemplar) {
    let _ = write!(out, " # {{event_id=\"{}\"", escaped(&exemplar.event_id));
    if let Some(trace) = &exemplar.trace_id {
        let _ = write!(out, ",trace_id=\"{}\"", escaped(trace));
    }
    let _ = write!(out, "}} 1.0 {:.3}", exemplar.time.as_secs_f64());
}

fn histogram(out: &mut String, name: &str, labels: &[LabelPair], histogram: &Histogram) {
    let count = histogram.get_sample_count();
    let buckets = histogram.get_bucket().iter();
    let bounds = buckets.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
    let finite = bounds.filter(|(bound, _)| bound.is_finite());
    for (bound, count) in finite {
        // `{:?}` writes 1 as 1.0, as the format wants a bound.
        let _ =
            writeln!(out, "{name}_bucket{} {count}", braces(labels, Some(&format!("{bound:?}"))));
    }
    let _ = writeln!(out, "{name}_bucket{} {count}", braces(labels, Some("+Inf")));
    let _ = writeln!(out, "{name}_sum{} {}", braces(labels, None), histogram.get_sample_sum());
    let _ = writeln!(out, "{name}_count{} {count}", braces(labels, None));
}

fn braces(labels: &[LabelPair], le: Option<&str>) -> String {
    let own = labels.iter().map(|label| (label.name(), label.value()));
    let all = own.chain(le.map(|le| ("le", le)));
    let parts: Vec<_> = all.map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    if parts.is_empty() { String::new() } else { format!("{{{}}}", parts.join(",")) }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}
