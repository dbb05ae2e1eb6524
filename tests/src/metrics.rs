//! The agent's `/metrics`, read as a scraper reads it.

use std::collections::BTreeMap;

/// One scrape.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Vec<Sample>);

/// One line of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The metric's name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

impl Sample {
    /// A label's value; empty when the sample does not have it, as in Prometheus.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }

    /// The value of a counter, or of a gauge that counts.
    #[expect(clippy::cast_sign_loss, reason = "what counts is not negative")]
    pub fn count(&self) -> u64 {
        self.value as u64
    }
}

impl Metrics {
    /// Reads the text format; lines that are no samples are left out.
    pub fn parse(text: &str) -> Self {
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect())
    }

    /// Every sample.
    pub fn all(&self) -> impl Iterator<Item = &Sample> {
        self.0.iter()
    }

    /// Every sample of a metric.
    pub fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.0.iter().filter(move |sample| sample.name == name)
    }

    /// The sum of a counter over the samples that have all these labels.
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let all = |sample: &&Sample| labels.iter().all(|(key, value)| sample.label(key) == *value);
        self.of(name).filter(all).map(Sample::count).sum()
    }
}

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (series, ""),
    };
    Some(Sample { name: name.to_owned(), labels: pairs(labels)?, value: value.parse().ok()? })
}

fn pairs(mut text: &str) -> Option<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    while let Some((key, rest)) = text.split_once("=\"") {
        let mut value = String::new();
        let mut characters = rest.char_indices();
        let end = loop {
            match characters.next()? {
                (at, '"') => break at,
                (_, '\\') => match characters.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        labels.insert(key.trim_start_matches(',').to_owned(), value);
        text = rest.get(end + 1..)?;
    }
    Some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_with_quotes_and_commas_are_read() {
        let metrics = Metrics::parse(
            "# TYPE a counter\na{origin=\"x\\\"y,z=\\\"\",status=\"403\"} 2\na{status=\"403\"} 3\n",
        );
        assert_eq!(metrics.count("a", &[("status", "403")]), 5);
        assert_eq!(metrics.count("a", &[("origin", "x\"y,z=\"")]), 2);
    }
}
